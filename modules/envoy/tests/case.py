"""What the tests share: hosts and Envoys that end with the test, and what is always to hold."""

import collections
import unittest

from harness import Envoy, until
from hosts import Host


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
