"""The module inside of a real Envoy. `cargo xtask test` builds it and sets the environment."""

import collections
import os
import shutil
import socket
import threading
import time
import unittest

from harness import ARTIFACT, Envoy, until
from hosts import Host, Load


def llm(step_s, **options):
    """A host that says how long it takes for a token, on the scale of the model's service."""
    report = f"TEXT named_metrics.time_per_output_token_seconds={step_s}"
    return {"headers": {"endpoint-load-metrics": report}, **options}


def answered(answers):
    """Requests answered with 200 by each host."""
    by_host = collections.Counter()
    for (status, host), count in answers.items():
        if status == 200:
            by_host[host] += count
    return by_host


class Case(unittest.TestCase):
    def hosts(self, *options):
        hosts = [Host(**option) for option in options]
        for host in hosts:
            self.addCleanup(host.stop)
        return hosts

    def envoy(self, hosts, **options):
        envoy = Envoy(hosts, **options)
        self.addCleanup(envoy.stop)
        return envoy

    def assert_all_answered(self, answers, requests=None):
        self.assertEqual({status for status, _ in answers}, {200}, answers)
        if requests is not None:
            self.assertEqual(sum(answers.values()), requests)

    def assert_settled(self, envoy):
        """All requests have been counted out."""
        until(lambda: all(host["in_flight"] == 0 for host in envoy.status()[0].values()),
              lambda: f"requests stay in flight: {envoy.status()}")
        for host in envoy.status()[0].values():
            self.assertEqual(host["sent_total"], host["done_total"])
            self.assertEqual(host["in_flight_prompt_tokens"], 0)


RETRIES = {
    "retry_policy": {
        "retry_on": "5xx,reset,connect-failure",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.005s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/"
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }
}


class Routing(Case):
    def test_every_host_takes_part_with_one_two_and_four_workers(self):
        for workers in (1, 2, 4):
            with self.subTest(workers=workers):
                hosts = self.hosts(*[llm(0.02, delay_s=0.005)] * 3)
                envoy = self.envoy(hosts, workers=workers).start()
                answers = envoy.load(600, clients=16)
                self.assert_all_answered(answers, 600)
                by_host = answered(answers)
                self.assertGreater(min(by_host[host.address] for host in hosts), 0, by_host)
                self.assert_settled(envoy)
                status, decisions = envoy.status()
                for host in hosts:
                    self.assertEqual(status[host.address]["sent_total"], host.served)
                    self.assertIsNotNone(status[host.address]["latency_s"])
                self.assertEqual(decisions["policy"], 600)
                self.assertEqual(envoy.stats("evenkeel_decisions")["dynamicmodulescustom.evenkeel_decisions"], "600")
                envoy.stop()

    def test_a_slow_host_is_avoided(self):
        slow, *fast = self.hosts(llm(0.2, delay_s=0.05), llm(0.02), llm(0.02))
        envoy = self.envoy([slow, *fast]).start()
        by_host = answered(envoy.load(400))
        self.assertEqual(sum(by_host.values()), 400)
        self.assertLess(by_host[slow.address], 60, by_host)

    def test_a_host_that_fails_fast_is_avoided(self):
        failing, *good = self.hosts({"status": 500}, {"delay_s": 0.02}, {"delay_s": 0.02})
        envoy = self.envoy([failing, *good]).start()
        answers = envoy.load(300)
        self.assertLess(failing.served, 75, answers)
        status = envoy.status()[0]
        self.assertEqual(status[failing.address]["failed_total"], failing.served)
        self.assertEqual(sum(status[host.address]["failed_total"] for host in good), 0)
        self.assert_settled(envoy)


if __name__ == "__main__":
    unittest.main()
