"""The example that is installed, in front of hosts that stream, in each Envoy that is supported."""

import json
import os
import unittest

from case import Case
from harness import ARTIFACT, ENVOYS
from hosts import llm
from load import Load
from waiting import until

EXAMPLE = f"{os.path.dirname(os.path.abspath(__file__))}/../../../deploy/envoy/envoy.yaml"
PLACE = "{ address: vllm.default.svc.cluster.local, port_value: 8000 }"
EVENT = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
TOKENS = 7
PROMPT = b'{"model": "m-8b", "max_tokens": 64, "messages": [{"role": "user", "content": "%s"}]}' % (b"a" * 100_000)


class Example(Case):
    def test_it_serves_streams_and_logs_what_training_needs(self):
        for version, path in ENVOYS.items():
            with self.subTest(version=version):
                self.serve(path)

    def serve(self, path):
        stream = [(0.0, b": ping\n\n"), (0.2, EVENT * TOKENS), (0.3, b"data: [DONE]\n\n")]
        host = llm(0.02, stream=stream)
        host["headers"]["content-type"] = "text/event-stream"
        hosts = self.hosts(host, host)
        envoy = self.envoy([], version=path)
        self.write_example(envoy, hosts)
        envoy.start("yaml")
        load = Load(envoy.port, clients=4, path="/v1/chat/completions", body=PROMPT,
                    headers=[("content-type", "application/json")])
        self.assertEqual({status for status, _ in load.start(20).finish()}, {200})
        self.assert_settled(envoy)
        status, decisions = envoy.status()
        self.assertEqual(set(status), {host.address for host in hosts})
        self.assertEqual(decisions["policy"], 20, decisions)
        self.assertIn("decisions go on without", envoy.said())
        for seen in status.values():
            if seen["sent_total"]:
                self.assertTrue(0.2 <= seen["first_byte_s"] < seen["latency_s"], seen)
                # What the host says is held against what is measured.
                self.assertTrue(0 < seen["report"]["step_s"] < 0.025, seen)
        self.assertEqual(json.loads(envoy.ask("/evenkeel/explain?class=m-8b")[1])["output_tokens"], TOKENS)
        until(lambda: len(self.logged(envoy)) == 20, "requests are not logged", 15)
        for line in self.logged(envoy):
            self.assertEqual((int(line["output_tokens"]), line["status"]), (TOKENS, 200), line)
            self.assertAlmostEqual(int(line["prompt_tokens"]), 25_000, delta=50)
            self.assertTrue(200 <= line["response_duration"] < line["duration"], line)
            self.assertIn(line["upstream_host"], status)
        envoy.stop()

    def write_example(self, envoy, hosts):
        with open(EXAMPLE, encoding="utf-8") as file:
            example = file.read()
        places = [f"{{ address: 127.0.0.1, port_value: {host.port} }}" for host in hosts]
        another = "\n        - endpoint: {{ address: {{ socket_address: {} }} }}".format
        for part, replacement in (
            ("/etc/evenkeel/evenkeel.ekm", ARTIFACT),
            ("/var/log/envoy/evenkeel.json", f"{envoy.folder}/access.json"),
            ("/run/evenkeel/llm.tel", f"{envoy.folder}/llm.tel"),
            ("address: 0.0.0.0, port_value: 8080", f"address: 127.0.0.1, port_value: {envoy.port}"),
            ("port_value: 9901", f"port_value: {envoy.admin}"),
            (f"{PLACE} }} }}", f"{places[0]} }} }}{another(places[1])}"),
        ):
            self.assertEqual(example.count(part), 1, part)
            example = example.replace(part, replacement)
        with open(f"{envoy.folder}/envoy.yaml", "w", encoding="utf-8") as file:
            file.write(example)

    @staticmethod
    def logged(envoy):
        with open(f"{envoy.folder}/access.json", encoding="utf-8") as file:
            return [json.loads(line) for line in file]


if __name__ == "__main__":
    unittest.main()
