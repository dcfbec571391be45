"""The rows of the cases that NGINX and Envoy have in common, in NGINX; responses buffered, and passed on as they come."""

import unittest

from case import Case
from harness import ARTIFACT
from life import Answers, Hosts
from waiting import PATIENCE


class Life(Case):
    location = ""

    def setUp(self):
        if PATIENCE > 1:
            self.skipTest("shares of requests are not those of a proxy under a checker of memory")

    def proxy(self, hosts, telemetry=False, tokens=None, least_request=False):
        first = f"evenkeel {ARTIFACT}{' telemetry=llm.tel' if telemetry else ''};"
        if tokens:
            first += f" evenkeel_tokens $http_{tokens.replace('-', '_')};"
        servers = [f"server {host.address} max_fails=0;" for host in hosts]
        return self.nginx(servers, first="least_conn;" if least_request else first, location=self.location).start()

    def running(self, nginx, host):
        return nginx.status()[0][host.address]["running"]


class Buffered(Hosts, Life):
    pass


class Unbuffered(Answers, Life):
    location = "proxy_buffering off;"


if __name__ == "__main__":
    unittest.main(verbosity=2)
