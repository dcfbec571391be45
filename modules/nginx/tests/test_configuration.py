"""What a configuration may say: other balancing directives, starts without an artifact, fallbacks that are told."""

import os
import re
import shutil
import time
import unittest

from case import Case
from harness import ARTIFACT, NGINX, version
from load import answered
from waiting import PATIENCE, until

FIRST = f"evenkeel {ARTIFACT};"


def knows(directive):
    """Whether this NGINX has a balancing directive."""
    with open(NGINX, "rb") as file:
        return b"\0" + directive.encode() + b"\0" in file.read()


class OtherDirectives(Case):
    def refused(self, *lines):
        [host] = self.hosts({})
        accepted, said = self.nginx([host], first="\n".join(lines)).test()
        self.assertFalse(accepted, said)
        self.assertRegex(said, r"\[emerg\] .*nginx\.conf:\d+")
        return said

    def test_what_stands_before_and_would_be_lost_is_refused_by_name(self):
        before = ["least_conn;", "ip_hash;", "hash $uri;", "random;"]
        # Newer ones keep connections whatever the order.
        before += ["keepalive 4;"] if version() < (1, 29, 7) else []
        before += ["sticky cookie srv;"] if knows("sticky") else []
        before += ["least_time header;"] if knows("least_time") else []
        for line in before:
            with self.subTest(line):
                said = self.refused(line, FIRST)
                self.assertIn('"evenkeel" must be the first balancing directive', said)
                self.assertIn(f'"{re.match(r"[a-z_]+", line)[0]}"', said)

    @unittest.skipIf(version() < (1, 29, 7), "this NGINX refuses it")
    def test_keepalive_may_stand_before_where_nginx_lets_it(self):
        hosts = self.hosts({}, {})
        nginx = self.nginx(hosts, first=f"keepalive 4; {FIRST}").start()
        self.assertEqual(sum(answered(nginx.load(40, clients=2)).values()), 40)
        self.assertEqual(nginx.status()[1]["policy"], 40)
        self.assertLess(sum(host.connections_total for host in hosts), 10)

    def test_a_method_that_follows_and_replaces_it_is_refused(self):
        for line in ("least_conn;", "ip_hash;", "hash $uri;", "random two;"):
            with self.subTest(line):
                self.assertIn('another balancing method of upstream "llm" replaces "evenkeel"', self.refused(FIRST, line))

    def test_its_directives_without_it_are_refused(self):
        for line in ("evenkeel_watch on;", "evenkeel_tokens $http_x;", "evenkeel_scale capacity=1;"):
            with self.subTest(line):
                self.assertIn('lacks "evenkeel PATH"', self.refused(line))

    def test_wrong_parameters_say_what_is_allowed(self):
        self.assertIn("expected zone=NAME:SIZE, telemetry=PATH, mode=active or mode=shadow", self.refused(
            f"evenkeel {ARTIFACT} mode=maybe;"
        ))
        self.assertIn("at least", self.refused(f"evenkeel {ARTIFACT} zone=llm:4k;"))
        self.assertIn("it must be \"on\" or \"off\"", self.refused(FIRST, "evenkeel_watch yes;"))

    @unittest.skipUnless(knows("sticky"), "this NGINX has no \"sticky\"")
    def test_sticky_sessions_stay_and_all_others_are_balanced(self):
        hosts = self.hosts({}, {}, {})
        nginx = self.nginx(hosts, last="sticky cookie srv; keepalive 4;").start()
        for _ in range(6):
            connection = nginx.connection()
            connection.request("GET", "/")
            response = connection.getresponse()
            first, cookie = response.read().decode(), response.getheader("Set-Cookie").split(";")[0]
            connection.close()
            answers = {nginx.get(headers={"Cookie": cookie})[1] for _ in range(8)}
            self.assertEqual(answers, {first})
        self.assertEqual(nginx.upstream()["fallbacks"]["sticky"], 48)
        self.assertGreaterEqual(sum(nginx.status()[1].values()), 6)
        self.assert_settled(nginx)
        self.assertEqual(sum(host["sent_total"] for host in nginx.status()[0].values()), 54)


class WithoutArtifact(Case):
    def waiting(self, content):
        hosts = self.hosts({"delay_s": 0.005}, {"delay_s": 0.005}, {"delay_s": 0.005})
        nginx = self.nginx(hosts, first="evenkeel model.ekm; evenkeel_watch on;", workers=2)
        if content is not None:
            with open(f"{nginx.folder}/model.ekm", "wb") as file:
                file.write(content)
        return hosts, nginx

    def test_a_start_serves_by_least_request_and_says_so_until_one_is_there(self):
        with open(ARTIFACT, "rb") as file:
            good = file.read()
        for name, content in {"missing": None, "cut short": good[:1000], "empty": b""}.items():
            with self.subTest(name):
                hosts, nginx = self.waiting(content)
                # A service unit tests the configuration first: it tells, and does not stand in the way.
                accepted, said = nginx.test()
                self.assertTrue(accepted, said)
                self.assertRegex(said, r'\[error\] .*artifact ".*model\.ekm" .* in .*nginx\.conf:\d+; least request of two')
                nginx.start()
                by_host = answered(nginx.load(90))
                self.assertEqual(sum(by_host.values()), 90)
                self.assertGreater(min(by_host[host.address] for host in hosts), 10)
                self.assertRegex(nginx.errors(), r'\[error\] .*artifact ".*model\.ekm" .*least request of two serves')
                upstream = nginx.upstream()
                self.assertEqual((upstream["artifact_loaded"], upstream["decisions"]["no_policy"]), (0, 90))
                self.assertIn('evenkeel_artifact_loaded{upstream="llm"} 0', nginx.get("/status")[1])
                # A reload for another reason goes through as well.
                self.assertNotIn("[emerg]", nginx.reload())
                until(lambda: len(nginx.worker_pids()) == 2, "the old workers stay")
                with open(f"{nginx.folder}/new.ekm", "wb") as file:
                    file.write(good)
                os.chmod(f"{nginx.folder}/new.ekm", 0o644)
                os.rename(f"{nginx.folder}/new.ekm", f"{nginx.folder}/model.ekm")
                until(lambda: nginx.upstream()["artifact_loaded"] == 1, f"it is not taken: {nginx.errors()[-500:]}")
                # Each worker takes it by itself.
                time.sleep(1.2 * PATIENCE)
                before = nginx.status()[1]
                nginx.load(50)
                after = nginx.status()[1]
                self.assertEqual(after["policy"], before["policy"] + 50)
                # The demand begins with it.
                until(lambda: nginx.upstream()["present_per_s"] is not None, "there is no demand")
                nginx.stop()

    def test_a_reload_does_not_lose_the_artifact_that_serves(self):
        hosts, nginx = self.waiting(None)
        shutil.copy(ARTIFACT, f"{nginx.folder}/model.ekm")
        nginx.start()
        os.remove(f"{nginx.folder}/model.ekm")
        self.assertRegex(nginx.reload(), r'\[emerg\] .*artifact ".*model\.ekm" cannot be opened')
        nginx.load(20)
        self.assertEqual(nginx.status()[1]["policy"], 20)

    def test_without_watch_a_start_fails(self):
        [host] = self.hosts({})
        for watch in ("", "evenkeel_watch off;"):
            accepted, said = self.nginx([host], first=f"evenkeel model.ekm; {watch}").test()
            self.assertFalse(accepted)
            self.assertRegex(said, r'\[emerg\] .*artifact ".*model\.ekm" cannot be opened .* in .*nginx\.conf:\d+')


class Fallbacks(Case):
    def test_each_choice_of_nginx_itself_is_counted_with_its_cause(self):
        full, backup = self.hosts({"delay_s": 0.3}, {})
        servers = [f"server {full.address} max_conns=1;", f"server {backup.address} backup;"]
        nginx = self.nginx(servers).start()
        answers = answered(nginx.load(20, clients=4))
        self.assertEqual(sum(answers.values()), 20)
        upstream = nginx.upstream()
        self.assertEqual(upstream["fallbacks"]["unavailable"], answers[backup.address])
        self.assertEqual(upstream["decisions"]["only_host"], answers[full.address])
        page = nginx.get("/status")[1]
        self.assertIn(f'evenkeel_fallbacks_total{{upstream="llm",cause="unavailable"}} {answers[backup.address]}', page)
        self.assert_settled(nginx)

    def test_max_conns_holds_across_workers(self):
        hosts = self.hosts({"delay_s": 0.02}, {"delay_s": 0.02}, {"delay_s": 0.02})
        servers = [f"server {host.address} max_conns=2;" for host in hosts]
        nginx = self.nginx(servers, first=f"zone llm 256k; {FIRST}", workers=4).start()
        answers = nginx.load(300, clients=24)
        self.assertEqual({status for status, _ in answers}, {200, 502})
        self.assertLessEqual(max(host.busiest for host in hosts), 2)
        self.assert_settled(nginx)

    def test_an_address_that_is_listed_twice_is_one_host(self):
        a, b = self.hosts({}, {})
        nginx = self.nginx([a, a, b]).start()
        self.assertEqual(sum(answered(nginx.load(60)).values()), 60)
        self.assertEqual(len(nginx.status()[0]), 2)
        self.assert_settled(nginx)

    def test_an_address_that_is_listed_twice_is_not_tried_again_while_there_is_another(self):
        failing, good = self.hosts({"status": 503}, {})
        servers = [f"server {host.address} max_fails=0;" for host in (failing, failing, good)]
        nginx = self.nginx(servers, location="proxy_next_upstream error http_503;").start()
        self.assertEqual(answered(nginx.load(60, clients=4)), {good.address: 60})
        tried = {line["upstream_addr"] for line in nginx.log(60)}
        self.assertLessEqual(tried, {good.address, f"{failing.address}, {good.address}"})
        self.assertGreater(failing.served, 0)


class Tokens(Case):
    def test_a_header_that_no_client_sends_leaves_the_length(self):
        [host] = self.hosts({})
        nginx = self.nginx([host], first=f"{FIRST} evenkeel_tokens $http_x_prompt_tokens;").start()
        for headers in ({}, {"X-Prompt-Tokens": "many"}, {"X-Prompt-Tokens": "-5"}, {"X-Prompt-Tokens": "0"}):
            nginx.get(body=b"x" * 4000, headers=headers)
        nginx.get(body=b"x" * 4000, headers={"X-Prompt-Tokens": "321"})
        self.assertEqual([line["prompt_tokens"] for line in nginx.log(5)], ["1000"] * 4 + ["321"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
