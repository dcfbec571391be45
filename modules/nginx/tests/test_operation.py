"""What an operator sets up around the choice: artifacts that change, demand, telemetry, sessions."""

import json
import os
import re
import shutil
import socket
import struct
import time
import unittest

from case import Case, answered, llm
from harness import ARTIFACT, until

MASK = (1 << 64) - 1
ROOT = os.path.join(os.path.dirname(__file__), "../../..")


def host_key(address):
    """FNV-1a, as the runtime's telemetry file has it."""
    key = 0xCBF29CE484222325
    for byte in address.encode():
        key = ((key ^ byte) * 0x100000001B3) & MASK
    return key or 1


def telemetry_file(path, address, running, waiting, kv_use, slots=64):
    """A telemetry file with one host, written as docs/agent.md describes it."""
    magic = int.from_bytes(b"EVKTELEM", "little")
    now_us = time.monotonic_ns() // 1000
    pair = lambda low, high: int.from_bytes(struct.pack("<ff", low, high), "little")
    nan = float("nan")
    key = host_key(address)
    told = [key, now_us, pair(running, waiting), pair(nan, kv_use), pair(nan, 0.0)]
    check = magic
    for word in told:
        check = ((check ^ word) * 0x9E3779B97F4A7C15) & MASK
        check = ((check << 31) | (check >> 33)) & MASK
    words = [0] * (16 + 8 * slots)
    words[:4] = [magic, 1 | slots << 32, now_us, 1]
    begin = 16 + 8 * (key % slots)
    words[begin : begin + 7] = [2, *told, check]
    with open(f"{path}.new", "wb") as file:
        file.write(struct.pack(f"<{len(words)}Q", *words))
    os.rename(f"{path}.new", path)


class Artifacts(Case):
    def swapped(self, nginx):
        upstream = json.loads(nginx.get("/status?format=json")[1])["upstreams"][0]
        return upstream["artifacts_taken"], upstream["artifacts_refused"]

    def test_another_artifact_is_taken_without_a_reload_and_a_bad_one_is_not(self):
        hosts = self.hosts({}, {})
        nginx = self.nginx(hosts, first="evenkeel model.ekm; evenkeel_watch on;", workers=2)
        model = f"{nginx.folder}/model.ekm"

        def put(contents):
            with open(f"{model}.new", "wb") as file:
                file.write(contents)
            os.chmod(f"{model}.new", 0o644)
            os.rename(f"{model}.new", model)

        shutil.copy(ARTIFACT, model)
        nginx.start()
        with open(ARTIFACT, "rb") as file:
            good = file.read()
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 1
        for contents, expected in [(good, (1, 0)), (bytes(bad), (1, 1)), (good[:100], (1, 2)), (good, (2, 2))]:
            put(contents)
            until(lambda: self.swapped(nginx) == expected, f"{self.swapped(nginx)} is not {expected}")
            self.assertEqual(sum(answered(nginx.load(50)).values()), 50)
        os.remove(model)
        time.sleep(1.2)
        self.assertEqual(nginx.get()[0], 200)
        self.assertRegex(nginx.errors(), r"model.ekm\" is refused: .*checksum.*keeps serving")
        self.assertEqual(nginx.status()[1]["no_policy"], 0)

    def test_without_watch_only_a_reload_takes_another_artifact(self):
        [host] = self.hosts({})
        nginx = self.nginx([host], first="evenkeel model.ekm;")
        shutil.copy(ARTIFACT, f"{nginx.folder}/model.ekm")
        nginx.start()
        shutil.copy(ARTIFACT, f"{nginx.folder}/new.ekm")
        os.rename(f"{nginx.folder}/new.ekm", f"{nginx.folder}/model.ekm")
        time.sleep(1.5)
        self.assertEqual(self.swapped(nginx), (0, 0))


class Demand(Case):
    def test_demand_is_published_in_replicas(self):
        hosts = self.hosts({}, {})
        scale = "evenkeel_scale capacity=0.5 lead=85 quantile=0.8 headroom=1.2;"
        nginx = self.nginx(hosts, first=f"evenkeel {ARTIFACT}; {scale}", workers=2).start()
        time.sleep(1.2)
        nginx.load(200)

        def demand():
            return json.loads(nginx.get("/status/scale")[1])["llm"]

        until(lambda: demand()["present_per_s"] > 1, f"no demand: {demand()}")
        seen = demand()
        self.assertAlmostEqual(seen["demand"], seen["present_per_s"] * 1.2 / 0.5, delta=0.02 * seen["demand"])
        self.assertEqual(json.loads(nginx.get("/status?format=scale")[1])["llm"]["upstream"], "llm")
        self.assertRegex(nginx.get("/status")[1], r'(?m)^evenkeel_demand_replicas\{upstream="llm"\} [0-9.]+$')

    def test_retries_are_not_demand(self):
        dead, alive = self.hosts({}, {})
        dead.stop()
        scale = "evenkeel_scale capacity=1;"
        servers = [f"server {dead.address} max_fails=0;", f"server {alive.address} max_fails=0;"]
        nginx = self.nginx(servers, first=f"evenkeel {ARTIFACT}; {scale}").start()
        time.sleep(1.2)
        self.assertEqual(sum(answered(nginx.load(60)).values()), 60)
        until(lambda: json.loads(nginx.get("/status/scale")[1])["llm"]["present_per_s"] > 0, "no demand")
        # A second's requests in an average over 30 s: about 2, and never the retries too.
        self.assertLess(json.loads(nginx.get("/status/scale")[1])["llm"]["present_per_s"], 2.5)

    def test_a_scale_that_cannot_be_is_refused(self):
        for wrong in ["lead=60", "capacity=0", "capacity=1 quantile=0.99", "capacity=1 headroom=0.5", "capacity=x"]:
            ok, said = self.nginx(["server 127.0.0.1:1;"], first=f"evenkeel {ARTIFACT}; evenkeel_scale {wrong};").test()
            self.assertFalse(ok, wrong)
            self.assertIn("capacity", said)


class Dashboard(Case):
    def test_the_dashboard_asks_for_what_the_status_page_has(self):
        hosts = self.hosts({}, {})
        page = self.nginx(hosts).start().get("/status")[1]
        with open(os.path.join(ROOT, "deploy/grafana/evenkeel.json"), encoding="utf-8") as file:
            dashboard = json.load(file)
        asked = {
            name
            for panel in dashboard["panels"]
            for target in panel["targets"]
            for name in re.findall(r"evenkeel_\w+", target["expr"])
        }
        self.assertGreater(len(asked), 10)
        self.assertEqual({name for name in asked if f"{name}{{" not in page}, set())


class Telemetry(Case):
    def test_the_agents_file_is_read(self):
        hosts = self.hosts({}, {})
        nginx = self.nginx(hosts, first=f"evenkeel {ARTIFACT} telemetry=llm.tel;", workers=2).start()
        path = f"{nginx.folder}/llm.tel"
        telemetry_file(path, hosts[0].address, 3.0, 5.0, 0.25)
        os.chmod(path, 0o644)

        def told():
            host = nginx.status()[0][hosts[0].address]
            return host["running"], host["waiting"], host["kv_use"]

        until(lambda: told() == (3, 5, 0.25), f"the file is not read: {nginx.errors()[-500:]}")
        self.assertIsNone(nginx.status()[0][hosts[1].address]["running"])
        # An agent that died: the report grows old, and requests go on.
        os.remove(path)
        before = nginx.status()[0][hosts[0].address]["report_age_s"]
        time.sleep(0.5)
        self.assertGreater(nginx.status()[0][hosts[0].address]["report_age_s"], before + 0.3)
        self.assertEqual(sum(answered(nginx.load(20)).values()), 20)

    def test_a_file_of_garbage_is_named_once_and_ignored(self):
        [host] = self.hosts({})
        nginx = self.nginx([host], first=f"evenkeel {ARTIFACT} telemetry=llm.tel;")
        with open(f"{nginx.folder}/llm.tel", "wb") as file:
            file.write(os.urandom(5000))
        nginx.start()
        until(lambda: "llm.tel\" is not read" in nginx.errors(), "nothing is said of the file")
        time.sleep(0.6)
        self.assertEqual(nginx.errors().count("is not read"), 1)
        self.assertEqual(nginx.get()[0], 200)


class Requests(Case):
    def test_sessions_return_to_the_host_that_has_their_prefix(self):
        hosts = self.hosts(*[llm(0.02, delay_s=0.005)] * 4)
        directives = "evenkeel_tokens $http_x_prompt_tokens; evenkeel_key $http_x_session;"
        nginx = self.nginx(hosts, first=f"evenkeel {ARTIFACT}; {directives}").start()
        nginx.load(100)
        stays = 0
        for session in range(8):
            headers = {"X-Session": f"session-{session}", "X-Prompt-Tokens": "20000"}
            first = nginx.get(headers=headers)[1]
            stays += sum(nginx.get(headers=headers)[1] == first for _ in range(5))
        # By chance it would be 10 of 40.
        self.assertGreater(stays, 25)

    def test_generated_tokens_are_told(self):
        [host] = self.hosts({"headers": {"X-Output-Tokens": "100"}, "delay_s": 0.01, "body_delay_s": 0.2})
        directives = "evenkeel_output_tokens $upstream_http_x_output_tokens;"
        nginx = self.nginx([host], first=f"evenkeel {ARTIFACT}; {directives}").start()
        self.assertEqual(nginx.get()[0], 200)
        self.assertEqual(nginx.log()[0]["output_tokens"], "100")
        self.assert_settled(nginx)

    def test_clients_of_http_1_0(self):
        hosts = self.hosts({}, {})
        nginx = self.nginx(hosts).start()
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", nginx.port), 5) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(4096), b""))
            self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer[:80])
        self.assert_settled(nginx)

    def test_a_stream_arrives_as_it_is_sent(self):
        [host] = self.hosts({"body_delay_s": 0.5})
        nginx = self.nginx([host], location="proxy_buffering off;").start()
        with socket.create_connection(("127.0.0.1", nginx.port), 5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            begin = time.monotonic()
            self.assertIn(b"200", client.recv(4096))
            self.assertLess(time.monotonic() - begin, 0.4)
            while client.recv(4096):
                pass
        self.assert_settled(nginx)
        status = nginx.status()[0][host.address]
        self.assertLess(status["first_byte_s"], 0.3)
        self.assertGreater(status["latency_s"], 0.4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
