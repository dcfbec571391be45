"""What an operator sets up around the choice: artifacts that change, demand, telemetry, sessions."""

import json
import os
import re
import shutil
import socket
import time
import unittest

from again import again
from case import Case
from harness import ARTIFACT
from hosts import llm
from load import answered
from telemetry import write_telemetry
from waiting import PATIENCE, until

ROOT = os.path.join(os.path.dirname(__file__), "../../..")


class Artifacts(Case):
    def swapped(self, nginx):
        upstream = nginx.upstream()
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

    def test_a_zone_without_room_for_the_history_says_so_once_and_has_the_present_demand(self):
        [host] = self.hosts({})
        nginx = self.nginx([host], first=f"evenkeel {ARTIFACT} zone=llm:64k; evenkeel_scale capacity=1;", workers=2).start()
        self.assertEqual(sum(answered(nginx.load(40)).values()), 40)
        time.sleep(2.5)
        self.assertEqual(nginx.errors().count("has no room for the demand's history"), 1)
        self.assertGreater(nginx.upstream()["present_per_s"], 0)

    def test_a_scale_that_cannot_be_is_refused(self):
        wrongs = ["capacity=0", "capacity=1 quantile=0.99", "capacity=1 headroom=0.5", "capacity=1 trend=3"]
        for wrong in [*wrongs, "capacity=x"]:
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
        write_telemetry(path, hosts[0].address, running=3, waiting=5, kv_use=0.25)

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


    def test_a_pipe_or_an_empty_file_in_its_place_stops_nothing(self):
        for make in (os.mkfifo, lambda path: open(path, "wb").close()):
            [host] = self.hosts({})
            nginx = self.nginx([host], first=f"evenkeel {ARTIFACT} telemetry=llm.tel;")
            make(f"{nginx.folder}/llm.tel")
            os.chmod(f"{nginx.folder}/llm.tel", 0o644)
            nginx.start()
            until(lambda: "llm.tel\" is not read" in nginx.errors(), "nothing is said of the file")
            self.assertEqual(sum(answered(nginx.load(20)).values()), 20)


class SlowStart(Case):
    def share(self, nginx, host):
        """Share of its full share of the requests that a host gets."""
        return nginx.status()[0][host.address]["full_share"]

    @again
    def test_a_host_that_comes_back_starts_slowly(self):
        steady, flaky = self.hosts(*[llm(0.02, delay_s=0.01)] * 2)
        servers = [f"server {host.address} max_fails=1 fail_timeout=1s;" for host in (steady, flaky)]
        # Workers share in NGINX's own zone who has failed.
        directives = f"zone llm 64k; evenkeel {ARTIFACT}; evenkeel_slow_start 8s;"
        nginx = self.nginx(servers, first=directives, workers=2).start()
        full = answered(nginx.load(100))[flaky.address]
        self.assertGreater(full, 35)
        self.assertEqual((self.share(nginx, steady), self.share(nginx, flaky)), (1, 1))
        flaky.stop()
        self.assertEqual(answered(nginx.load(100)), {steady.address: 100})
        self.assertGreater(nginx.status()[0][flaky.address]["failed_total"], 0)
        flaky.start()

        def is_back():
            nginx.load(20)
            return self.share(nginx, flaky) < 1

        until(is_back, "the host is not tried again", 60)
        by_host = answered(nginx.load(100))
        self.assertEqual(sum(by_host.values()), 100)
        self.assertGreater(by_host[flaky.address], 0)
        self.assertLess(by_host[flaky.address], full - 5, by_host)
        self.assertEqual(self.share(nginx, steady), 1)
        until(lambda: self.share(nginx, flaky) == 1, "the slow start does not end")
        # What was learned of a host in a bad moment is half forgotten after eight seconds.
        until(lambda: answered(nginx.load(100))[flaky.address] > 35, "it does not get its share", 60)

    @again
    def test_a_server_that_is_added_starts_slowly(self):
        first, added = self.hosts(*[{"delay_s": 0.2}] * 2)
        directives = f"evenkeel {ARTIFACT}; evenkeel_slow_start 1h;"
        nginx = self.nginx([first], first=directives).start()
        nginx.load(20)
        self.assertEqual(self.share(nginx, first), 1)
        nginx.write(f"{directives} server {first.address}; server {added.address};")
        nginx.reload()
        until(lambda: len(nginx.worker_pids()) == 1, "the old worker stays")
        self.assertEqual(self.share(nginx, first), 1)
        self.assertAlmostEqual(self.share(nginx, added), 0.1, delta=0.001)
        # A tenth beside a whole: one request of eleven.
        by_host = answered(nginx.load(110))
        self.assertEqual(sum(by_host.values()), 110)
        self.assertTrue(3 <= by_host[added.address] <= 14, by_host)
        # Without the directive it has its full share at once.
        nginx.write(f"evenkeel {ARTIFACT}; server {first.address}; server {added.address};")
        nginx.reload()
        until(lambda: len(nginx.worker_pids()) == 1, "the old worker stays")
        self.assertEqual(self.share(nginx, added), 1)
        until(lambda: answered(nginx.load(100))[added.address] > 35, "it does not get its share", 60)


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

    def test_classes_are_told_apart_by_the_length_of_their_answers(self):
        hosts = self.hosts({}, {})
        directives = "evenkeel_class $http_x_class; evenkeel_output_tokens $upstream_http_x_output_tokens;"
        nginx = self.nginx(hosts, first=f"evenkeel {ARTIFACT}; {directives}").start()
        lengths = {"chat": "20", "essay": "3000"}
        for _ in range(12):
            for name, length in lengths.items():
                nginx.get(headers={"X-Class": name, "X-Generate": length})
        nginx.reload()
        until(lambda: len(nginx.worker_pids()) == 1, "the old worker stays")
        for name in [*lengths, "unheard", ""]:
            nginx.get(headers={"X-Class": name})
        log = nginx.log(28)
        self.assertEqual([line["expected_tokens"] for line in log[:2]], ["0", "0"])
        chat, essay, unheard, none = log[24:]
        self.assertEqual([line["expected_tokens"] for line in log[24:]], ["20", "3000", "0", "0"])
        # An answer of that length costs more, wherever it is generated.
        self.assertGreater(float(essay["score"]), float(chat["score"]) + 1)
        self.assertGreater(float(essay["score"]), float(unheard["score"]))

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
        [host] = self.hosts({"body_delay_s": 0.5 * PATIENCE})
        nginx = self.nginx([host], location="proxy_buffering off;").start()
        with socket.create_connection(("127.0.0.1", nginx.port), 5) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            begin = time.monotonic()
            self.assertIn(b"200", client.recv(4096))
            self.assertLess(time.monotonic() - begin, 0.4 * PATIENCE)
            while client.recv(4096):
                pass
        self.assert_settled(nginx)
        status = nginx.status()[0][host.address]
        # The header came at once; the first token is what counts.
        self.assertGreater(status["first_byte_s"], 0.4 * PATIENCE)
        self.assertGreater(status["latency_s"], 0.4 * PATIENCE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
