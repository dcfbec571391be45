"""The example that the package installs and the documentation shows, as it is but for addresses and paths."""

import json
import os
import re
import unittest

from case import Case
from free_port import free_port
from harness import ARTIFACT, Nginx
from rawhost import RawHost, sse
from telemetry import write_telemetry
from waiting import until

ROOT = os.path.join(os.path.dirname(__file__), "../../..")
EXAMPLE = os.path.join(ROOT, "deploy/nginx/evenkeel.conf")
TOKENS = [b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % n for n in range(3)]


def example():
    with open(EXAMPLE, encoding="utf-8") as file:
        return file.read()


def stream(connection):
    """Answers request after request on a connection with a stream."""
    while True:
        received = b""
        while b"\r\n\r\n" not in received:
            more = connection.recv(65536)
            if not more:
                return
            received += more
        head, _, body = received.partition(b"\r\n\r\n")
        length = int((re.search(rb"(?i)content-length: (\d+)", head) or [0, 0])[1])
        while len(body) < length:
            body += connection.recv(65536)
        assert b"Connection:" not in head, head
        connection.sendall(b"".join(sse(*TOKENS)))


class Example(Case):
    def setUp(self):
        self.backends = [RawHost(stream), RawHost(stream)]
        for backend in self.backends:
            self.addCleanup(backend.stop)
        # Only what a user changes, and where this test may write.
        self.port = free_port()
        changed = {
            "10.0.0.1:8000": self.backends[0].address,
            "10.0.0.2:8000": self.backends[1].address,
            "listen 8080;": f"listen 127.0.0.1:{self.port};",
            "/etc/evenkeel/evenkeel.ekm": ARTIFACT,
            "/run/evenkeel/telemetry": "llm.tel",
            "/var/log/nginx/evenkeel.log": "evenkeel.log",
        }
        text = example()
        for old, new in changed.items():
            self.assertIn(old, text)
            text = text.replace(old, new)
        # A configuration as Debian's, which includes a folder of others.
        self.nginx = Nginx("server 127.0.0.1:1;")
        self.addCleanup(self.nginx.stop)
        os.mkdir(f"{self.nginx.folder}/conf.d")
        with open(f"{self.nginx.folder}/conf.d/evenkeel.conf", "w", encoding="utf-8") as file:
            file.write(text.replace("evenkeel.log", f"{self.nginx.folder}/evenkeel.log"))
        with open(f"{self.nginx.folder}/nginx.conf", "r+", encoding="utf-8") as file:
            whole = file.read()
            http = re.match(r"(?s).*http \{.*?scgi_temp_path [^;]*;", whole)[0]
            file.seek(0)
            file.truncate()
            file.write(f"{http}\n    include {self.nginx.folder}/conf.d/*.conf;\n}}\n")
        self.nginx.port = self.port

    def ask(self, path, body=None, headers=None):
        return self.nginx.get(path, body=body, headers=headers or {})

    def test_it_serves_streams_and_logs_reports_and_shows_them(self):
        write_telemetry(f"{self.nginx.folder}/llm.tel", self.backends[0].address, running=3, waiting=5, kv_use=0.25)
        self.nginx.start()
        prompt = json.dumps({"messages": [{"role": "user", "content": "x" * 4000}], "stream": True})
        for n in range(20):
            status, text = self.ask("/v1/chat/completions", prompt, {"X-Session-ID": f"s{n % 4}"})
            self.assertEqual((status, text), (200, b"".join(TOKENS).decode()))
        # Connections to the servers are kept.
        self.assertLessEqual(sum(backend.served for backend in self.backends), 4)
        page = self.ask("/evenkeel")[1]
        sent = re.findall(r'evenkeel_requests_sent_total\{upstream="llm",host="[^"]+"\} (\d+)', page)
        self.assertEqual(sum(map(int, sent)), 20)
        self.assertIn('evenkeel_artifact_loaded{upstream="llm"} 1', page)
        [upstream] = json.loads(self.ask("/evenkeel/json")[1])["upstreams"]
        self.assertEqual(upstream["exchanges"]["success"], 20)
        self.assertIn("llm", json.loads(self.ask("/evenkeel/scale")[1]))

        def waiting():
            [upstream] = json.loads(self.ask("/evenkeel/json")[1])["upstreams"]
            return {host["host"]: host["waiting"] for host in upstream["hosts"]}[self.backends[0].address]

        until(lambda: waiting() == 5, "the agent's file is not read")

        def logged():
            with open(f"{self.nginx.folder}/evenkeel.log", encoding="utf-8") as file:
                return [json.loads(line) for line in file]

        until(lambda: len(logged()) == 20, "the log has fewer lines")
        for line in logged():
            self.assertAlmostEqual(int(line["prompt_tokens"]), 1000, delta=10)
            self.assertEqual(line["output_tokens"], str(len(TOKENS)))
            self.assertEqual(line["host"], line["upstream_addr"])
            self.assertGreaterEqual(float(line["first_token_time"]), 0)
            self.assertEqual(line["reason"], "policy")

    def test_it_starts_before_the_first_artifact_is_there(self):
        path = f"{self.nginx.folder}/conf.d/evenkeel.conf"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(ARTIFACT, "missing.ekm"))
        accepted, said = self.nginx.test()
        self.assertTrue(accepted, said)
        self.assertIn("missing.ekm", said)
        self.nginx.start()
        self.assertEqual(self.ask("/v1/completions", "{}")[0], 200)

    def test_the_documentation_shows_this_file(self):
        with open(os.path.join(ROOT, "docs/nginx.md"), encoding="utf-8") as file:
            page = file.read()
        self.assertIn(f"```nginx\n{example()}```\n", page)


if __name__ == "__main__":
    unittest.main(verbosity=2)
