"""Artifacts and options: what is refused, and that it is named."""

import os
import unittest

from case import Case
from harness import ARTIFACT, module_filter, request_filter, struct_of
from hosts import llm
from load import Load
from waiting import until


class Artifacts(Case):
    def setUp(self):
        with open(ARTIFACT, "rb") as file:
            self.good = file.read()
        corrupt = bytearray(self.good)
        corrupt[len(corrupt) // 2] ^= 1
        self.bad = {
            "truncated": self.good[: len(self.good) // 2],
            "checksum": bytes(corrupt),
            "not an Evenkeel artifact": b"x" * 4096,
            "truncated: ": b"",
        }

    def swap(self, envoy, content):
        with open(f"{envoy.folder}/model.new", "wb") as file:
            file.write(content)
        os.rename(f"{envoy.folder}/model.new", f"{envoy.folder}/model.ekm")

    def test_hot_swaps_good_and_bad_under_load(self):
        hosts = self.hosts(*[llm(0.02, delay_s=0.002)] * 3)
        envoy = self.envoy(hosts, workers=2, options={})
        envoy.options["artifact"] = f"{envoy.folder}/model.ekm"
        envoy.write(f"{envoy.folder}/envoy.json", envoy.configuration())
        self.swap(envoy, self.good)
        envoy.start()
        load = Load(envoy.port, clients=8).start()
        for n, content in enumerate(self.bad.values(), 1):
            self.swap(envoy, content)
            until(lambda: envoy.artifact()["refusals"] == n, lambda: f"not refused: {envoy.artifact()}")
            self.swap(envoy, self.good)
            until(lambda: envoy.artifact()["swaps"] == n, lambda: f"not taken over: {envoy.artifact()}")
        os.remove(f"{envoy.folder}/model.ekm")
        until(lambda: envoy.artifact()["refusals"] == len(self.bad) + 1, "the loss goes unnoticed")
        self.assert_all_answered(load.stop())
        said = envoy.said()
        for reason in self.bad:
            self.assertIn(reason.strip(": "), said)
        self.assertIn(f"{envoy.folder}/model.ekm", said)
        self.assertEqual(envoy.status()[1]["no_policy"] + envoy.status()[1]["no_score"], 0)
        stats = envoy.stats("evenkeel_artifact")
        self.assertEqual(stats["dynamicmodulescustom.evenkeel_artifact_swaps"], str(len(self.bad)))
        self.assertEqual(stats["dynamicmodulescustom.evenkeel_artifact_refusals"], str(len(self.bad) + 1))
        self.assert_settled(envoy)

    def test_a_bad_artifact_is_refused_at_the_start(self):
        [host] = self.hosts({})
        for reason, content in self.bad.items():
            envoy = self.envoy([host], options={})
            envoy.options["artifact"] = f"{envoy.folder}/model.ekm"
            envoy.write(f"{envoy.folder}/envoy.json", envoy.configuration())
            self.swap(envoy, content)
            accepted, said = envoy.validate()
            self.assertFalse(accepted)
            self.assertIn(reason.strip(": "), said)
            self.assertIn(f"{envoy.folder}/model.ekm", said)


class Configuration(Case):
    def test_each_wrong_field_is_named(self):
        [host] = self.hosts({})
        for options, named in (
            ({}, "artifact"),
            ({"artifact": "/does/not/exist"}, "/does/not/exist"),
            ({"artifact": "/"}, "not a regular file"),
            ({"artifact": 7}, "artifact"),
            ({"artifact": ARTIFACT, "zone": "x"}, "zone"),
            ({"artifact": ARTIFACT, "mode": "on"}, "mode"),
            ({"artifact": ARTIFACT, "tokens": "two words"}, "tokens"),
            ({"artifact": ARTIFACT, "key": ""}, "key"),
            ({"artifact": ARTIFACT, "key": ["x-a", "a b"]}, "key"),
            ({"artifact": ARTIFACT, "class": "a:b"}, "class"),
            ({"artifact": ARTIFACT, "max_tokens": 512}, "max_tokens"),
            ({"artifact": ARTIFACT, "output_tokens": []}, "output_tokens"),
            ({"artifact": ARTIFACT, "slow_start": "soon"}, "slow_start"),
            ({"artifact": ARTIFACT, "telemetry": 1}, "telemetry"),
            ({"artifact": ARTIFACT, "scale": {"capacity": -1.5}}, "scale.capacity"),
            ({"artifact": ARTIFACT, "scale": {"size": 1}}, "scale.size"),
        ):
            with self.subTest(options=options):
                accepted, said = self.envoy([host], options=options).validate()
                self.assertFalse(accepted, said)
                self.assertIn("evenkeel: lb_policy_config", said)
                self.assertIn(named, said)

    def test_wrong_fields_of_the_filters_are_named(self):
        [host] = self.hosts({})
        for filters, named in (
            ([request_filter({"token": "x"})], "token"),
            ([request_filter({"panic_percent": 101})], "panic_percent"),
            ([request_filter({"bodies": "none"})], "bodies"),
            ([request_filter({"bodies": 1})], "bodies"),
            ([module_filter("response", {"panic_percent": 1})], "panic_percent"),
            ([module_filter("requests", {})], "requests"),
        ):
            accepted, said = self.envoy([host], filters=filters).validate()
            self.assertFalse(accepted, said)
            self.assertIn(named, said)

    def test_the_access_log_and_the_bootstrap_extension_have_no_fields(self):
        [host] = self.hosts({})
        for path, complaint in (
            (("bootstrap_extensions", 0, "typed_config", "extension_config"), "extension_config"),
            (("static_resources", "listeners", 0, "filter_chains", 0, "filters", 0, "typed_config", "http_filters", 0,
              "typed_config", "upstream_log", 0, "typed_config", "logger_config"), "logger_config"),
        ):
            envoy = self.envoy([host])
            configuration = envoy.configuration()
            *place, last = path
            part = configuration
            for key in place:
                part = part[key]
            part[last] = struct_of({"interval": "1s"})
            envoy.write(f"{envoy.folder}/envoy.json", configuration)
            accepted, said = envoy.validate()
            self.assertFalse(accepted, said)
            self.assertIn(f'{complaint}: field "interval": unknown field `interval`, there are no fields', said)

    def test_a_good_configuration_is_accepted(self):
        [host] = self.hosts({})
        options = {"artifact": ARTIFACT, "mode": "active", "tokens": "x-prompt-tokens", "key": ["x-session", "x-user"],
                   "class": "x-model", "max_tokens": "x-max-tokens", "output_tokens": "x-output-tokens", "slow_start": 1.5, "telemetry": "/run/evenkeel/llm.tel",
                   "scale": {"capacity": 2.5, "lead": 85, "quantile": 0.9, "headroom": 1.1}}
        accepted, said = self.envoy([host], options=options).validate()
        self.assertTrue(accepted, said)


if __name__ == "__main__":
    unittest.main()
