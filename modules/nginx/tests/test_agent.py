"""The real agent beside NGINX: what it tells is used, and nothing hangs on it."""

import os
import subprocess
import time
import unittest

from case import Case, answered, telemetry_file
from harness import ARTIFACT, until

AGENT = os.environ.get("EVENKEEL_AGENT")


def page(running, waiting, kv_use):
    """Metrics as vLLM has them."""
    return (
        f'vllm:num_requests_running{{model_name="m"}} {running}\n'
        f'vllm:num_requests_waiting{{model_name="m"}} {waiting}\n'
        f'vllm:kv_cache_usage_perc{{model_name="m"}} {kv_use}\n'
    )


class Agent(Case):
    def start_agent(self, folder, hosts):
        with open(f"{folder}/hosts", "w", encoding="ascii") as file:
            file.writelines(f"{host.address}\n" for host in hosts)
        command = [AGENT, "--hosts", f"{folder}/hosts", "--output", f"{folder}/llm.tel", "--interval-ms", "50"]
        agent = subprocess.Popen(command, stderr=subprocess.DEVNULL)

        def kill():
            agent.kill()
            agent.wait()

        self.addCleanup(kill)
        return kill

    @unittest.skipUnless(AGENT, "EVENKEEL_AGENT names no agent")
    def test_nginx_serves_on_when_the_agent_is_killed(self):
        busy, *idle = self.hosts(
            {"metrics": page(64, 200, 0.99)}, {"metrics": page(0, 0, 0.0)}, {"metrics": page(0, 0, 0.0)}
        )
        nginx = self.nginx([busy, *idle], first=f"evenkeel {ARTIFACT} telemetry=llm.tel;", workers=2).start()
        kill = self.start_agent(nginx.folder, [busy, *idle])

        def told():
            host = nginx.status()[0][busy.address]
            return host["running"], host["waiting"], host["kv_use"]

        until(lambda: told() == (64, 200, 0.99), f"the agent tells nothing: {nginx.errors()[-500:]}")
        # The agent's word alone keeps requests from a host that answers as fast as the others.
        by_host = answered(nginx.load(200))
        self.assertEqual(sum(by_host.values()), 200)
        self.assertLess(by_host[busy.address], 40, by_host)
        until(lambda: nginx.status()[0][busy.address]["report_age_s"] < 0.5, "the report is old")

        kill()
        begin = time.monotonic()
        until(lambda: nginx.status()[0][busy.address]["report_age_s"] > 1, "the age does not grow")
        self.assertLess(time.monotonic() - begin, 3)
        self.assertEqual(sum(answered(nginx.load(200)).values()), 200)
        self.assertIn("evenkeel_report_age_seconds", nginx.get("/status")[1])
        self.assert_settled(nginx)

        # Another agent takes the file over.
        self.start_agent(nginx.folder, [busy, *idle])
        until(lambda: nginx.status()[0][busy.address]["report_age_s"] < 0.5, "the new agent is not heard")

    def test_a_report_grown_old_is_not_believed(self):
        busy, *idle = self.hosts(*[{"delay_s": 0.005}] * 3)
        nginx = self.nginx([busy, *idle], first=f"evenkeel {ARTIFACT} telemetry=llm.tel;").start()
        path = f"{nginx.folder}/llm.tel"
        telemetry_file(path, busy.address, 64.0, 200.0, 0.99, age_s=60)
        os.chmod(path, 0o644)
        until(lambda: (nginx.status()[0][busy.address]["report_age_s"] or 0) > 30, "the file is not read")
        served = 0

        def serves():
            nonlocal served
            by_host = answered(nginx.load(60))
            self.assertEqual(sum(by_host.values()), 60)
            served += by_host[busy.address]
            return served > 0

        until(serves, "an old report keeps requests away")
        self.assertGreater(nginx.upstream()["stale_telemetry"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
