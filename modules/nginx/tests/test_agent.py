"""The real agent beside NGINX: what it tells is used, and nothing hangs on it."""

import unittest

from case import Case
from harness import ARTIFACT
from load import answered
from telemetry import AGENT, Agent, vllm_page, write_telemetry
from waiting import until


class BesideNginx(Case):
    def start_agent(self, nginx, hosts):
        agent = Agent(nginx.folder, hosts)
        self.addCleanup(agent.kill)
        return agent

    @unittest.skipUnless(AGENT, "EVENKEEL_AGENT names no agent")
    def test_nginx_serves_on_when_the_agent_is_killed(self):
        busy, *idle = self.hosts(
            {"metrics": vllm_page(64, 200, 0.99)}, {"metrics": vllm_page(0, 0, 0.0)}, {"metrics": vllm_page(0, 0, 0.0)}
        )
        nginx = self.nginx([busy, *idle], first=f"evenkeel {ARTIFACT} telemetry=llm.tel;", workers=2).start()
        agent = self.start_agent(nginx, [busy, *idle])

        def told():
            host = nginx.status()[0][busy.address]
            return host["running"], host["waiting"], host["kv_use"]

        until(lambda: told() == (64, 200, 0.99), f"the agent tells nothing: {nginx.errors()[-500:]}")
        # The agent's word alone keeps requests from a host that answers as fast as the others.
        by_host = answered(nginx.load(200))
        self.assertEqual(sum(by_host.values()), 200)
        self.assertLess(by_host[busy.address], 40, by_host)
        until(lambda: nginx.status()[0][busy.address]["report_age_s"] < 0.5, "the report is old")

        agent.kill()
        until(lambda: nginx.status()[0][busy.address]["report_age_s"] > 1, "the age does not grow")
        self.assertEqual(sum(answered(nginx.load(200)).values()), 200)
        self.assertIn("evenkeel_report_age_seconds", nginx.get("/status")[1])
        self.assert_settled(nginx)

        # Another agent takes the file over.
        self.start_agent(nginx, [busy, *idle])
        until(lambda: nginx.status()[0][busy.address]["report_age_s"] < 0.5, "the new agent is not heard")

    def test_a_report_grown_old_is_not_believed(self):
        busy, *idle = self.hosts(*[{"delay_s": 0.005}] * 3)
        nginx = self.nginx([busy, *idle], first=f"evenkeel {ARTIFACT} telemetry=llm.tel;").start()
        write_telemetry(f"{nginx.folder}/llm.tel", busy.address, running=64, waiting=200, kv_use=0.99, age_s=60)
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
