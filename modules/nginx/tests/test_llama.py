"""llama.cpp's own server behind NGINX: tokens as clients count them, failures, and a policy from its log."""

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import llama
from again import again
from case import Case
from harness import ARTIFACT
from waiting import until

EVENKEEL = os.environ.get("EVENKEEL_COMMAND")
SENT = "client_max_body_size 1m; proxy_read_timeout 60s;"


@unittest.skipUnless(llama.SERVER and llama.MODELS, "llama.cpp's server is not at hand")
class Llama(llama.Servers, Case):
    def test_tokens_are_those_that_clients_count(self):
        hosts = self.servers("fast")
        for buffering in ("on", "off"):
            nginx = self.nginx(hosts, location=f"proxy_buffering {buffering}; {SENT}").start()
            expected = []
            for seed, name in enumerate(llama.FORMS):
                # The second time, the prompt is cached.
                for _ in range(2):
                    found = self.send(nginx, name, seed=100 + seed + (buffering == "on"))
                    expected.append((name, str(found["prompt"]), str(found["output"]), str(found["cached"])))
            lines = nginx.log(len(expected))
            logged = [(name, line["output_tokens"], line["cached_tokens"]) for (name, *_), line in zip(expected, lines)]
            self.assertEqual(logged, [(name, output, cached) for name, _, output, cached in expected], buffering)
            for line in lines:
                self.assertGreater(float(line["first_token_time"]), 0)
                self.assertLessEqual(float(line["first_token_time"]), line["request_time"] + 0.002)
            nginx.stop()

    def test_a_client_that_leaves_and_a_server_that_is_killed(self):
        fast, slow = self.servers("fast", "slow")
        nginx = self.nginx([fast, slow], location=f"proxy_buffering off; {SENT}").start()
        path, body = llama.FORMS["streamed completion"]

        def begin(seed):
            connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=30)
            connection.request("POST", path, json.dumps(body(llama.prompt(20, seed), 4000)), {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read1(100)
            return connection, response

        connection, _ = begin(1)
        connection.close()
        until(lambda: nginx.upstream()["exchanges"]["client_abort"] == 1, "the client's leaving is not seen")
        self.assert_settled(nginx)

        connection, response = begin(2)
        [busy] = [host for host, status in nginx.status()[0].items() if status["in_flight"]]
        {fast.address: fast, slow.address: slow}[busy].stop()
        with self.assertRaises((http.client.HTTPException, OSError)):
            response.read()
            raise http.client.HTTPException  # an end without a last chunk is one, too
        connection.close()
        until(lambda: nginx.upstream()["exchanges"]["failure"] == 1, "the broken stream is not seen")
        for seed in range(6):
            self.send(nginx, "streamed chat", seed)
        self.assert_settled(nginx)

    @unittest.skipUnless(EVENKEEL, "the command line is not built")
    @again
    def test_a_policy_is_learned_from_its_log_and_swapped_in(self):
        hosts = self.servers("fast", "slow")
        folder = self.enterContext(tempfile.TemporaryDirectory())
        artifact = f"{folder}/serving.ekm"
        shutil.copy(ARTIFACT, artifact)
        nginx = self.nginx(hosts, first=f"evenkeel {artifact}; evenkeel_watch on;", location=f"proxy_buffering off; {SENT}").start()
        requests = 600
        statuses = {status for status, _ in llama.load(nginx.port, requests, clients=4)}
        self.assertEqual(statuses, {200})
        log = f"{folder}/access.json"
        until(lambda: len(nginx.log_now()) >= requests, "the log has fewer lines")
        shutil.copy(f"{nginx.folder}/access.json", log)

        trained = f"{folder}/trained"
        command = [EVENKEEL, "train", "--trace", log, "--quick", "--device", "cpu", "--out", trained]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        os.replace(f"{trained}/evenkeel.ekm", artifact)
        until(lambda: "taken" in nginx.errors(), "the artifact is not taken")

        served = self.send(nginx, "streamed completion", seed=999)
        [*_, line] = nginx.log(requests + 1)
        self.assertEqual((line["reason"], line["output_tokens"]), ("policy", str(served["output"])))
        before = {host: status["sent_total"] for host, status in nginx.status()[0].items()}
        time.sleep(0.1)
        llama.load(nginx.port, 120, clients=4, seed=1)
        sent = {host: status["sent_total"] - before[host] for host, status in nginx.status()[0].items()}
        fast, slow = (sent[host.address] for host in hosts)
        self.assertGreater(fast, 1.3 * slow, sent)


if __name__ == "__main__":
    unittest.main()
