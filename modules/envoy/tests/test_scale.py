"""More hosts, and more requests under way, than is usual."""

import resource
import unittest

from again import again
from case import Case
from http2 import HoldingHost, requests
from load import answered
from waiting import until

# Of the runtime: hosts that can be scored.
HOSTS_SCORED = 1024


class ManyHosts(Case):
    def test_all_hosts_are_served_whatever_their_number(self):
        count = HOSTS_SCORED + 200
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        hosts = self.hosts(*[{"ip": f"127.0.{n // 250 + 1}.{n % 250 + 1}", "delay_s": 0.005} for n in range(count)])
        envoy = self.envoy(hosts, workers=2).start()
        answers = envoy.load(8 * count, clients=32)
        self.assert_all_answered(answers, 8 * count)
        by_host = answered(answers)
        self.assertGreater(len(by_host), 0.97 * count, "hosts without requests")
        self.assertLess(max(by_host.values()), 30)
        # Which of them have no slot is not said; none is treated worse.
        self.assertAlmostEqual(sum(by_host[host.address] for host in hosts[HOSTS_SCORED:]) / 200, 8, delta=1)
        self.assertIn(f"cluster \"llm\" has {count} hosts, of which {HOSTS_SCORED} can be scored", envoy.said())
        self.assertEqual(envoy.status()[1]["too_many_hosts"], 8 * count)
        # With as many as can be scored, the policy chooses.
        envoy.set_hosts(hosts[200:])
        until(lambda: envoy.stats("llm.membership_total")["cluster.llm.membership_total"] == str(HOSTS_SCORED),
              "the hosts do not go")

        def all_are_scored():
            before = envoy.status()[1]
            self.assert_all_answered(envoy.load(100), 100)
            after = envoy.status()[1]
            return after["policy"] - before["policy"] == 100

        until(all_are_scored, lambda: f"the policy does not choose: {envoy.status()[1]}")

class ManyRequests(Case):
    @again
    def test_any_number_of_requests_under_way_is_counted_and_spread(self):
        count = 18_000
        hosts = [HoldingHost() for _ in range(3)]
        for host in hosts:
            self.addCleanup(host.stop)
        streams = {"max_concurrent_streams": 100_000}
        most = {"max_requests": 100_000, "max_pending_requests": 100_000, "max_connections": 1000}
        upstream = {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": streams}}
        envoy = self.envoy(hosts, manager={"http2_protocol_options": streams}, cluster={
            "circuit_breakers": {"thresholds": [most]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": upstream},
        }).start()
        client = requests(envoy.port, count)
        self.addCleanup(client.close)
        until(lambda: sum(host.held for host in hosts) == count, lambda: f"held: {[host.held for host in hosts]}", 60)
        held = [host.held for host in hosts]
        self.assertLess(max(held), 1.1 * count / 3, held)
        status = envoy.status()[0]
        self.assertEqual([status[host.address]["in_flight"] for host in hosts], held)
        client.close()
        self.assert_settled(envoy)


if __name__ == "__main__":
    unittest.main()
