"""What NGINX and Envoy have in common for a test: a port that answers, and hosts behind it."""

import http.client
import unittest

from hosts import Host
from load import Load
from waiting import PATIENCE, until


class Proxy:
    """A proxy on `port`; `status()` returns what it tells of its hosts, and its decisions."""

    port = None

    def connection(self, timeout_s=10):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s * PATIENCE)

    def get(self, path="/", headers=None, body=None, timeout_s=10, method=None):
        """Status and body of one answer."""
        connection = self.connection(timeout_s)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def load(self, requests, clients=8, **options):
        """Sends requests from several clients at once; counts (status, answering host)."""
        return Load(self.port, clients, **options).start(requests).finish()


class ProxyCase(unittest.TestCase):
    """A test whose hosts end with it, and what is always to hold of a proxy."""

    def hosts(self, *options):
        """A host for each of these sets of options."""
        hosts = [Host(**option) for option in options]
        for host in hosts:
            self.addCleanup(host.stop)
        return hosts

    def assert_all_answered(self, answers, requests=None):
        self.assertEqual({status for status, _ in answers}, {200}, answers)
        if requests is not None:
            self.assertEqual(sum(answers.values()), requests)

    def assert_settled(self, proxy):
        """All requests have been counted out."""
        until(lambda: all(host["in_flight"] == 0 for host in proxy.status()[0].values()),
              lambda: f"requests stay in flight: {proxy.status()[0]}")
        for host in proxy.status()[0].values():
            self.assertEqual(host["sent_total"], host["done_total"])
            self.assertEqual(host["in_flight_prompt_tokens"], 0)
