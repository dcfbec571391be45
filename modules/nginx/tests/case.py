"""A test with an NGINX that ends with it."""

from harness import ARTIFACT, Nginx
from proxy import ProxyCase


class Case(ProxyCase):
    first = f"evenkeel {ARTIFACT};"

    def nginx(self, servers, first=first, last="", **options):
        lines = [server if isinstance(server, str) else f"server {server.address};" for server in servers]
        nginx = Nginx("\n        ".join([first, *lines, last]), **options)
        self.addCleanup(nginx.stop)
        return nginx
