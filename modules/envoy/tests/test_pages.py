"""The pages of the admin interface, and the module's statistics."""

import json
import os
import shutil
import subprocess
import sys
import unittest

from again import again
from case import Case
from harness import ARTIFACT
from hosts import llm
from load import Load
from waiting import until

REPOSITORY = os.path.abspath(f"{os.path.dirname(__file__)}/../../..")


class Pages(Case):
    @again
    def test_a_choice_is_explained(self):
        # What a host claims is held against what is measured: the second is as slow as it says.
        hosts = self.hosts(llm(0.02, delay_s=0.005), llm(0.2, delay_s=0.05))
        envoy = self.envoy(hosts).start()
        envoy.load(60)
        status, body = envoy.ask("/evenkeel/explain?prompt_tokens=500")
        explained = json.loads(body)
        self.assertEqual(status, 200)
        self.assertEqual(explained["reason"], "policy")
        self.assertEqual((explained["best"], explained["runner_up"]), (hosts[0].address, hosts[1].address))
        scores = {host["host"]: host["score"] for host in explained["hosts"]}
        self.assertLess(scores[hosts[0].address], scores[hosts[1].address])
        self.assertEqual(envoy.ask("/evenkeel/explain?cluster=other")[0], 400)

    def test_scalers_read_the_demand_as_from_nginx(self):
        [host] = self.hosts({})
        options = {"artifact": ARTIFACT, "scale": {"capacity": 5, "headroom": 1}}
        envoy = self.envoy([host], options=options).start()
        load = Load(envoy.port, clients=1).start()

        def demand(query=""):
            return json.loads(envoy.ask(f"/evenkeel/scale{query}")[1])["llm"]

        until(lambda: demand()["present_per_s"] > 10, "no demand")
        told = demand("?cluster=llm")
        self.assertEqual(told["upstream"], "llm")
        self.assertAlmostEqual(told["demand"], told["present_per_s"] / 5, delta=0.01 * told["demand"])
        self.assertEqual(envoy.ask("/evenkeel/scale?cluster=other")[0], 400)

        def gauges():
            return [int(value) for name, value in envoy.stats("evenkeel_demand").items() if "millireplicas" in name]

        until(lambda: all(milli > 2000 for milli in gauges()) and len(gauges()) == 1, lambda: f"gauges: {gauges()}")
        scaler = [sys.executable, f"{REPOSITORY}/deploy/vm/evenkeel-scale", "--once", "--service", "llm", "--max", "9999",
                  "--url", f"http://127.0.0.1:{envoy.admin}/evenkeel/scale"]
        result = subprocess.run(scaler, capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertGreaterEqual(int(result.stdout), 2)
        load.stop()

    def test_the_artifact_that_serves_is_named_everywhere(self):
        hosts = self.hosts({}, {})
        envoy = self.envoy(hosts, options={})
        path = envoy.options["artifact"] = f"{envoy.folder}/model.ekm"
        shutil.copy(ARTIFACT, path)
        envoy.write(f"{envoy.folder}/envoy.json", envoy.configuration())
        envoy.start()
        with open(ARTIFACT, "rb") as file:
            content = file.read()
        artifact = envoy.artifact()
        self.assertEqual((artifact["name"], artifact["path"]), ("model", path))
        self.assertRegex(artifact["made_by"], "^evenkeel ")
        self.assertRegex(artifact["checksum"], "^[0-9a-f]{8}$")
        self.assertIn(int(artifact["checksum"], 16).to_bytes(4, "little"), content[:64])
        self.assertTrue(artifact["training_data"]["traces"])
        self.assertLess(len(envoy.ask("/evenkeel")[1]), 4000)
        self.assertIn(f'artifact "{path}" is loaded: model, {artifact["made_by"]}, checksum {artifact["checksum"]}',
                      envoy.said())

        def info():
            return {value for name, value in envoy.stats("evenkeel_artifact_info").items() if artifact["checksum"] in name}

        until(lambda: info() == {"1"}, lambda: f"no gauge of it: {envoy.stats('evenkeel_artifact')}")

    def test_gauges_count_hosts_and_requests(self):
        hosts = self.hosts({"delay_s": 3.0}, {"delay_s": 3.0})
        envoy = self.envoy(hosts).start()
        load = Load(envoy.port, clients=4).start(4)

        def gauges():
            values = envoy.stats("evenkeel_(hosts|requests)")
            return {name.split(".")[1]: int(value) for name, value in values.items()}

        until(lambda: sorted(gauges().values()) == [0, 2, 4], lambda: f"gauges: {gauges()}")
        load.finish()

    def test_the_shadows_agreement_is_counted(self):
        hosts = self.hosts({}, {})
        envoy = self.envoy(hosts, options={"artifact": ARTIFACT, "mode": "shadow"}).start()
        envoy.load(100)
        shadow = json.loads(envoy.ask("/evenkeel")[1])["clusters"][0]["shadow"]
        self.assertEqual(sum(shadow.values()), 100)
        self.assertGreater(min(shadow.values()), 0, shadow)
        counters = {name.rsplit("_", 1)[1]: int(value) for name, value in envoy.stats("evenkeel_shadow").items()}
        self.assertEqual(counters, shadow)


if __name__ == "__main__":
    unittest.main()
