"""A test with an Envoy that ends with it."""

from harness import Envoy
from proxy import ProxyCase


class Case(ProxyCase):
    def envoy(self, hosts, **options):
        envoy = Envoy(hosts, **options)
        self.addCleanup(envoy.stop)
        return envoy
