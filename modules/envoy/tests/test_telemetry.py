"""What the telemetry agent tells of the hosts, and that Envoy does without it."""

import json
import os
import struct
import subprocess
import sys
import time
import unittest

from case import Case
from harness import AGENT, ARTIFACT, until
from hosts import Load

METRICS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} %d
vllm:num_requests_waiting{model_name="m"} %d
vllm:kv_cache_usage_perc{model_name="m"} 0.5
"""


class Telemetry(Case):
    def envoy_with_telemetry(self, hosts, make=lambda path: None):
        """An Envoy that reads a file in its folder, and the path of that."""
        envoy = self.envoy(hosts, options={})
        path = f"{envoy.folder}/llm.tel"
        make(path)
        envoy.options.update(artifact=ARTIFACT, telemetry=path)
        envoy.write(f"{envoy.folder}/envoy.json", envoy.configuration())
        return envoy.start(), path

    def agent(self, envoy, hosts, path):
        with open(f"{envoy.folder}/hosts", "w", encoding="ascii") as file:
            file.writelines(f"{host.address}\n" for host in hosts)
        agent = subprocess.Popen([AGENT, "--hosts", file.name, "--output", path, "--interval-ms", "50"])
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        return agent

    def test_killing_the_agent_leaves_envoy_serving(self):
        hosts = self.hosts({"metrics": METRICS % (120, 60)}, {"metrics": METRICS % (1, 0)}, {"metrics": METRICS % (1, 0)})
        envoy, path = self.envoy_with_telemetry(hosts)

        def ages_s():
            return [host["report"]["age_s"] for host in envoy.status()[0].values()]

        def is_fresh():
            return all(age_s is not None and age_s < 1 for age_s in ages_s())

        agent = self.agent(envoy, hosts, path)
        until(is_fresh, lambda: f"nothing is read: {envoy.status()}")
        reports = {address: seen["report"] for address, seen in envoy.status()[0].items()}
        self.assertEqual([reports[host.address]["running"] for host in hosts], [120, 1, 1])
        self.assertEqual([reports[host.address]["waiting"] for host in hosts], [60, 0, 0])
        scores = {seen["host"]: seen["score"] for seen in json.loads(envoy.ask("/evenkeel/explain")[1])["hosts"]}
        self.assertEqual(max(scores, key=scores.get), hosts[0].address, scores)

        load = Load(envoy.port).start()
        agent.kill()
        agent.wait()
        before = ages_s()
        time.sleep(1.5)
        grown = [after - old for after, old in zip(ages_s(), before)]
        self.assert_all_answered(load.stop())
        self.assertGreater(min(grown), 1, (before, grown))
        self.assert_all_answered(envoy.load(100), 100)
        self.assert_settled(envoy)

        self.agent(envoy, hosts, path)
        until(is_fresh, lambda: f"nothing is read again: {envoy.status()}")

    def test_a_pipe_in_place_of_the_file_blocks_nobody(self):
        hosts = self.hosts({}, {})
        envoy, path = self.envoy_with_telemetry(hosts, make=os.mkfifo)
        until(lambda: "is not a regular file" in envoy.said(), "the pipe goes unnoticed")
        for _ in range(3):
            self.assertEqual(envoy.ask("/evenkeel")[0], 200)
            time.sleep(0.1)
        self.assert_all_answered(envoy.load(40), 40)
        with open(f"{path}.new", "wb") as file:
            file.write(telemetry_file(hosts, 3))
        os.rename(f"{path}.new", path)
        until(lambda: all(host["report"]["running"] == 3 for host in envoy.status()[0].values()),
              lambda: f"not taken over: {envoy.status()}")

    def test_a_file_that_is_missing_or_spoilt_does_no_harm(self):
        hosts = self.hosts({}, {})
        envoy, path = self.envoy_with_telemetry(hosts)
        until(lambda: "decisions go on without" in envoy.said(), "its absence goes unnoticed")
        for content in (b"nothing of the kind", telemetry_file(hosts, 3)[:200], b""):
            with open(path, "wb") as file:
                file.write(content)
            self.assert_all_answered(envoy.load(20), 20)
        self.assertEqual(envoy.said().count("decisions go on without"), 1)
        for running in (3, 5):
            with open(f"{path}.new", "wb") as file:
                file.write(telemetry_file(hosts, running))
            os.rename(f"{path}.new", path)
            until(lambda: all(host["report"]["running"] == running for host in envoy.status()[0].values()),
                  lambda: f"not taken over: {envoy.status()}")
        self.assertIn("is read again", envoy.said())


def telemetry_file(hosts, running):
    """What the agent writes: see the format in the runtime's `telemetry_file`."""
    magic, ones = int.from_bytes(b"EVKTELEM", sys.byteorder), (1 << 64) - 1
    slots = [[0] * 8 for _ in range(8)]
    for host in hosts:
        key = 0xCBF29CE484222325
        for byte in host.address.encode():
            key = (key ^ byte) * 0x100000001B3 & ones
        place = next(n for n in (*range(key % 8, 8), *range(key % 8)) if slots[n][1] == 0)
        [load] = struct.unpack("=Q", struct.pack("=ff", running, 0))
        words = [key, time.monotonic_ns() // 1000, load, 0, struct.unpack("=I", struct.pack("=f", 0.02))[0]]
        check = magic
        for word in words:
            check = (check ^ word) * 0x9E3779B97F4A7C15 & ones
            check = (check << 31 | check >> 33) & ones
        slots[place] = [2, *words, check, 0]
    header = [magic, 1 | 8 << 32, time.monotonic_ns() // 1000, 1, *[0] * 12]
    return struct.pack("=80Q", *header, *(word for slot in slots for word in slot))


if __name__ == "__main__":
    unittest.main()
