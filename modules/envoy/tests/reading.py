"""An Envoy whose filters read bodies, and the access log of what they read."""

import json
import os
import tempfile

from case import Case
from harness import ARTIFACT, module_filter, request_filter
from waiting import until

FIELDS = ("prompt_tokens", "output_tokens", "cached_tokens", "first_token_ms")


class ReadingCase(Case):
    """An Envoy with both filters, and its access log."""

    def setUp(self):
        handle, self.log = tempfile.mkstemp(prefix="evenkeel-envoy-log-")
        os.close(handle)
        self.addCleanup(os.remove, self.log)

    def reading_envoy(self, hosts, options=None, request=None, response=None, **more):
        """Both filters, and an access log of what they say."""
        fields = {field: f"%DYNAMIC_METADATA(evenkeel:{field})%" for field in FIELDS}
        kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
        log = {"@type": kind, "path": self.log, "log_format": {"json_format": fields}}
        manager = {"access_log": [{"name": "envoy.access_loggers.file", "typed_config": log}], **more.pop("manager", {})}
        return self.envoy(hosts, options={"artifact": ARTIFACT, **(options or {})}, filters=[request_filter(request or {})],
                          upstream_filters=[module_filter("response", response or {})], manager=manager, **more).start()

    def logged(self, lines):
        def read():
            with open(self.log, encoding="utf-8") as file:
                return [json.loads(line) for line in file]

        until(lambda: len(read()) >= lines, lambda: f"{len(read())} of {lines} requests are logged")
        return read()
