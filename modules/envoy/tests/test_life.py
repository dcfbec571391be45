"""The rows of the cases that NGINX and Envoy have in common, in Envoy as its documentation sets it up."""

import unittest

from case import Case
from harness import ARTIFACT, built_in, module_filter, request_filter
from life import Hosts


class Life(Hosts, Case):
    def proxy(self, hosts, telemetry=False, tokens=None, least_request=False):
        envoy = self.envoy(
            hosts, options={"artifact": ARTIFACT}, filters=[request_filter({})],
            upstream_filters=[module_filter("response", {})],
            lb_policy=built_in("least_request") if least_request else None,
        )
        if telemetry:
            envoy.options["telemetry"] = f"{envoy.folder}/llm.tel"
        if tokens:
            envoy.options["tokens"] = tokens
        envoy.write(f"{envoy.folder}/envoy.json", envoy.configuration())
        return envoy.start()

    def running(self, envoy, host):
        return envoy.status()[0][host.address]["report"]["running"]


if __name__ == "__main__":
    unittest.main(verbosity=2)
