"""The HTTP filters."""

import collections
import json
import threading
import unittest

from case import Case
from facts import facts_of, key_of
from harness import module_filter, request_filter
from hosts import llm
from load import answered
from waiting import until


class Filters(Case):
    def test_the_body_tells_the_prompt(self):
        [host] = self.hosts({})
        envoy = self.envoy([host], filters=[request_filter({})]).start()
        kept = {"content-type": "application/json; charset=utf-8", "x-evenkeel-facts": "7-7-7-7-7-7-7-7-7-7"}

        def told(body, headers=None):
            self.assertEqual(envoy.get(headers=headers or kept, body=body)[0], 200)
            return facts_of(host.requests[-1])

        short = told('{"prompt": "%s"}' % ("a" * 400))
        self.assertEqual((short["prompt_tokens"], len(short["prefix_keys"])), (100, 1))
        long = told('{"model": "m", "prompt": "%s"}' % ("a" * 400_000))
        self.assertAlmostEqual(long["prompt_tokens"], 100_000, delta=1000)
        self.assertEqual(long["prefix_keys"][0], short["prefix_keys"][0])
        self.assertIsNone(told("not json at all"))
        self.assertIsNone(told("{}"))
        self.assertIsNone(told(b"\x00" * 100))
        self.assertIsNone(told('{"prompt": "a"}', {**kept, "content-type": "application/octet-stream"}))
        self.assertEqual(envoy.get(headers=kept)[0], 200)
        self.assertIsNone(facts_of(host.requests[-1]))

    def test_the_body_tells_the_model_and_what_it_may_generate(self):
        [host] = self.hosts({})
        envoy = self.envoy([host], filters=[request_filter({})]).start()

        def told(body):
            self.assertEqual(envoy.get(headers={"content-type": "application/json"}, body=body)[0], 200)
            facts = facts_of(host.requests[-1])
            return facts["class"], facts["max_tokens"]

        self.assertEqual(told('{"model": "org/m-8b", "prompt": "a", "max_tokens": 512}'), (key_of("org/m-8b"), 512))
        self.assertEqual(told('{"prompt": "a"}'), (0, 0))

    def test_a_session_returns_to_the_host_that_has_its_prefix(self):
        hosts = self.hosts(*[llm(0.02)] * 4)
        envoy = self.envoy(hosts, filters=[request_filter({})]).start()
        envoy.load(100)
        headers = {"content-type": "application/json"}
        served = [envoy.get(headers=headers, body='{"prompt": "%s"}' % ("a" * 20_000))[1] for _ in range(12)]
        # By chance it would be three or four.
        self.assertGreaterEqual(max(collections.Counter(served).values()), 7, served)

    def test_the_response_filter_takes_the_first_token_and_the_report_when_they_come(self):
        """Servers of streams send the head at once, and comments that keep the connection alive."""
        event = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
        stream = [(0.05, b": ping\n\n"), (2.0, event), (4.0, event + b"data: [DONE]\n\n")]
        host = llm(0.02, stream=stream)
        host["headers"]["content-type"] = "text/event-stream"
        [host] = self.hosts(host)
        for upstream_filters in ([], [module_filter("response", {})]):
            with self.subTest(filters=len(upstream_filters)):
                envoy = self.envoy([host], upstream_filters=upstream_filters).start()
                client = threading.Thread(target=envoy.get)
                served = host.served
                client.start()
                until(lambda: host.served > served, "no response begins")
                if upstream_filters:
                    until(lambda: envoy.status()[0][host.address]["report"]["age_s"] is not None, "its report goes unnoticed")
                    self.assertIsNone(envoy.status()[0][host.address]["first_byte_s"])
                    until(lambda: envoy.status()[0][host.address]["first_byte_s"], "its first token goes unnoticed")
                    self.assertEqual(envoy.status()[0][host.address]["in_flight"], 1)
                client.join()
                self.assert_settled(envoy)
                first_s = envoy.status()[0][host.address]["first_byte_s"]
                # Envoy's log knows of the head alone.
                least_s, most_s = (1.99, 3.9) if upstream_filters else (0.0, 1.5)
                self.assertTrue(least_s <= first_s < most_s, first_s)
                envoy.stop()

    def test_the_response_filter_counts_what_is_generated(self):
        event = 'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
        for kind, body, tokens in (
            ("application/json", '{"choices": [], "usage": {"completion_tokens": 321}}', 321),
            ("text/event-stream", event * 50 + "data: [DONE]\n\n", 50),
            ("text/plain", '{"usage": {"completion_tokens": 321}}', None),
        ):
            with self.subTest(kind):
                [host] = self.hosts({"headers": {"content-type": kind}, "body": body})
                envoy = self.envoy([host], filters=[request_filter({})], upstream_filters=[module_filter("response", {})]).start()
                # The first requests of all wait for their connections, and count like the others.
                answers = envoy.load(8, headers=[("content-type", "application/json")],
                                     body=b'{"model": "m-8b", "prompt": "a"}')
                self.assertEqual(answers, {(200, body): 8})
                self.assert_settled(envoy)
                self.assertEqual(json.loads(envoy.ask("/evenkeel/explain?class=m-8b")[1])["output_tokens"], tokens)
                envoy.stop()

    def test_where_too_few_hosts_are_healthy_all_get_requests(self):
        hosts = self.hosts({}, {}, {})
        dead = [(host, {"health_status": "UNHEALTHY"}) for host in hosts]
        statuses = ["UNKNOWN", "HEALTHY", "DEGRADED", "UNHEALTHY"]
        envoy = self.envoy(dead, filters=[request_filter({"panic_percent": 50})],
                           cluster={"common_lb_config": {"override_host_status": {"statuses": statuses}}}).start()
        by_host = answered(envoy.load(60))
        self.assertEqual({by_host[host.address] for host in hosts}, {20})
        envoy.set_hosts([*dead[:1], *hosts[1:]])
        until(lambda: envoy.stats("llm.membership_healthy")["cluster.llm.membership_healthy"] == "2", "no change")
        by_host = answered(envoy.load(60))
        self.assertEqual((sum(by_host.values()), by_host[hosts[0].address]), (60, 0))


if __name__ == "__main__":
    unittest.main()
