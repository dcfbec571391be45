"""What the test cases share."""

import collections
import unittest

from harness import ARTIFACT, Host, Nginx, until


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
    first = f"evenkeel {ARTIFACT};"

    def hosts(self, *options):
        hosts = [Host(**option) for option in options]
        for host in hosts:
            self.addCleanup(host.stop)
        return hosts

    def nginx(self, servers, first=first, last="", **options):
        lines = [server if isinstance(server, str) else f"server {server.address};" for server in servers]
        nginx = Nginx("\n        ".join([first, *lines, last]), **options)
        self.addCleanup(nginx.stop)
        return nginx

    def assert_settled(self, nginx):
        """All requests have been counted out."""
        until(lambda: all(host["in_flight"] == 0 for host in nginx.status()[0].values()), "requests stay in flight")
        for host in nginx.status()[0].values():
            self.assertEqual(host["sent_total"], host["done_total"])
            self.assertEqual(host["in_flight_prompt_tokens"], 0)
