"""What users notice first, in each Envoy that is supported."""

import json
import time
import unittest

from facts import facts_of
from harness import ARTIFACT, ENVOYS, Envoy, module_filter, request_filter
from hosts import Host
from waiting import until


class Versions(unittest.TestCase):
    def test_requests_feedback_filters_and_pages(self):
        for version, path in ENVOYS.items():
            with self.subTest(version=version):
                self.exercise(path)

    def exercise(self, path):
        hosts = [Host(delay_s=0.002) for _ in range(3)]
        options = {"artifact": ARTIFACT}
        filters = {"filters": [request_filter({})], "upstream_filters": [module_filter("response", {})]}
        envoy = Envoy(hosts, options=options, workers=2, version=path, **filters).start()
        try:
            body = b'{"prompt": "' + b"a" * 400 + b'"}'
            answers = envoy.load(200, headers=[("content-type", "application/json")], body=body)
            self.assertEqual({status for status, _ in answers}, {200}, answers)
            until(lambda: all(host["in_flight"] == 0 for host in envoy.status()[0].values()), "requests stay in flight")
            status, decisions = envoy.status()
            self.assertEqual(decisions["policy"], 200)
            served = [host for host in hosts if host.served]
            for host in served:
                self.assertEqual(status[host.address]["done_total"], host.served)
                self.assertIsNotNone(status[host.address]["first_byte_s"])
            self.assertEqual(facts_of(served[0].requests[-1])["prompt_tokens"], 100)
            envoy.set_hosts(hosts[:1])
            until(lambda: len(envoy.status()[0]) == 1, "the hosts do not change")
            self.assertEqual(envoy.get()[0], 200)
            self.assertEqual(json.loads(envoy.ask("/evenkeel/explain")[1])["reason"], "only_host")
            time.sleep(1.1)
        finally:
            envoy.stop()
            for host in hosts:
                host.stop()


if __name__ == "__main__":
    unittest.main()
