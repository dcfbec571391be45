"""What the telemetry agent tells of the hosts, and that Envoy does without it."""

import json
import os
import time
import unittest

from case import Case
from harness import ARTIFACT
from load import Load
from telemetry import AGENT, Agent, vllm_page, write_telemetry
from waiting import until


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
        agent = Agent(envoy.folder, hosts, path)
        self.addCleanup(agent.kill)
        return agent

    @unittest.skipUnless(AGENT, "EVENKEEL_AGENT names no agent")
    def test_killing_the_agent_leaves_envoy_serving(self):
        hosts = self.hosts({"metrics": vllm_page(120, 60, 0.5)}, {"metrics": vllm_page(1, 0, 0.5)}, {"metrics": vllm_page(1, 0, 0.5)})
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
        write_telemetry(path, *(host.address for host in hosts), running=3)
        until(lambda: all(host["report"]["running"] == 3 for host in envoy.status()[0].values()),
              lambda: f"not taken over: {envoy.status()}")

    def test_a_file_that_is_missing_or_spoilt_does_no_harm(self):
        hosts = self.hosts({}, {})
        envoy, path = self.envoy_with_telemetry(hosts)
        until(lambda: "decisions go on without" in envoy.said(), "its absence goes unnoticed")
        addresses = [host.address for host in hosts]
        write_telemetry(f"{envoy.folder}/whole.tel", *addresses, running=3)
        with open(f"{envoy.folder}/whole.tel", "rb") as file:
            whole = file.read()
        for content in (b"nothing of the kind", whole[:200], b""):
            with open(path, "wb") as file:
                file.write(content)
            self.assert_all_answered(envoy.load(20), 20)
        self.assertEqual(envoy.said().count("decisions go on without"), 1)
        for running in (3, 5):
            write_telemetry(path, *addresses, running=running)
            until(lambda: all(host["report"]["running"] == running for host in envoy.status()[0].values()),
                  lambda: f"not taken over: {envoy.status()}")
        self.assertIn("is read again", envoy.said())


if __name__ == "__main__":
    unittest.main()
