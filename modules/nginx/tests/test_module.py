"""The module inside of a real NGINX: choices, failures, reloads, and what it tells."""

import http.client
import os
import shutil
import signal
import socket
import threading
import time
import unittest

from again import again
from case import Case
from harness import ARTIFACT
from hosts import llm
from load import answered
from waiting import until


class Routing(Case):
    def test_every_host_takes_part_with_one_worker_two_and_four(self):
        for workers in (1, 2, 4):
            with self.subTest(workers=workers):
                hosts = self.hosts(*[llm(0.02, delay_s=0.005)] * 3)
                nginx = self.nginx(hosts, workers=workers).start()
                by_host = answered(nginx.load(300))
                self.assertEqual(sum(by_host.values()), 300)
                self.assertGreater(min(by_host[host.address] for host in hosts), 0, by_host)
                self.assert_settled(nginx)
                status, decisions = nginx.status()
                for host in hosts:
                    self.assertEqual(status[host.address]["sent_total"], host.served)
                self.assertGreaterEqual(decisions["policy"], 300)

    @again
    def test_a_slow_host_is_avoided(self):
        slow, *fast = self.hosts(llm(0.2, delay_s=0.05), llm(0.02), llm(0.02))
        nginx = self.nginx([slow, *fast]).start()
        by_host = answered(nginx.load(400))
        self.assertEqual(sum(by_host.values()), 400)
        self.assertLess(by_host[slow.address], 60, by_host)

    def test_a_host_that_fails_fast_is_avoided(self):
        failing, *good = self.hosts({"status": 500}, {"delay_s": 0.02}, {"delay_s": 0.02})
        nginx = self.nginx([failing, *good]).start()
        answers = nginx.load(300)
        self.assertLess(failing.served, 75, answers)
        status = nginx.status()[0]
        self.assertEqual(status[failing.address]["failed_total"], failing.served)
        self.assertEqual(sum(status[host.address]["failed_total"] for host in good), 0)
        self.assert_settled(nginx)

    def test_a_single_server_is_enough(self):
        [host] = self.hosts({})
        nginx = self.nginx([host]).start()
        self.assertEqual(answered(nginx.load(20)), {host.address: 20})
        self.assertEqual(nginx.status()[1]["only_host"], 20)
        self.assert_settled(nginx)

    def test_weight_is_registered_and_down_is_kept_out(self):
        a, b = self.hosts({}, {})
        nginx = self.nginx([f"server {a.address} weight=3;", f"server {b.address} down;"]).start()
        self.assertEqual(answered(nginx.load(20)), {a.address: 20})
        self.assertEqual(nginx.status()[0][a.address]["weight"], 3)

    def test_the_shadow_decides_and_leaves_the_choice_to_round_robin(self):
        hosts = self.hosts({"delay_s": 0.05}, {})
        nginx = self.nginx(hosts, first=f"evenkeel {ARTIFACT} mode=shadow;").start()
        by_host = answered(nginx.load(40, clients=2))
        self.assertEqual(by_host, {host.address: 20 for host in hosts})
        self.assertEqual(nginx.status()[1]["policy"], 40)
        self.assertTrue(all(line["host"] and line["reason"] == "policy" for line in nginx.log()))
        self.assert_settled(nginx)

    def test_connections_are_kept_alive(self):
        hosts = self.hosts({}, {})
        nginx = self.nginx(hosts, last="keepalive 16;").start()
        self.assertEqual(sum(answered(nginx.load(200, clients=4)).values()), 200)
        self.assertLess(sum(host.connections_total for host in hosts), 20)
        self.assert_settled(nginx)

    def test_servers_in_a_zone_of_nginx(self):
        hosts = self.hosts({}, {})
        nginx = self.nginx(hosts, first=f"zone llm 64k; evenkeel {ARTIFACT} zone=llm:256k;", workers=2).start()
        self.assertEqual(sum(answered(nginx.load(100)).values()), 100)
        self.assert_settled(nginx)

    def test_more_hosts_than_a_word_has_bits(self):
        [host] = self.hosts({})
        others = [f"server 127.0.0.{n}:{host.port} down;" for n in range(2, 72)]
        nginx = self.nginx([*others, host]).start()
        self.assertEqual(answered(nginx.load(10)), {host.address: 10})


class Failures(Case):
    def test_a_retry_goes_to_a_host_that_was_not_tried(self):
        hosts = self.hosts({"status": 503}, {"status": 503}, {})
        servers = [f"server {host.address} max_fails=0;" for host in hosts]
        nginx = self.nginx(servers, location="proxy_next_upstream error timeout http_503;").start()
        self.assertEqual(answered(nginx.load(60, clients=4)), {hosts[2].address: 60})
        for line in nginx.log():
            tried = line["upstream_addr"].split(", ")
            self.assertEqual(len(tried), len(set(tried)))
            self.assertEqual(int(line["tries"]), len(tried))
        self.assert_settled(nginx)

    def test_all_hosts_go_down_and_come_back(self):
        hosts = self.hosts({}, {})
        servers = [f"server {host.address} max_fails=1 fail_timeout=1s;" for host in hosts]
        nginx = self.nginx(servers, workers=2, last="keepalive 8;").start()
        self.assertEqual(sum(answered(nginx.load(40)).values()), 40)
        for host in hosts:
            host.stop()
        self.assertEqual({status for status, _ in nginx.load(20)}, {502})
        for host in hosts:
            host.start()
        time.sleep(2.1)
        # NGINX probes a host with one request, and meanwhile refuses the others.
        until(lambda: sum(answered(nginx.load(40)).values()) == 40, "the hosts stay out")
        self.assert_settled(nginx)

    def test_backup_servers_take_over(self):
        down, backup = self.hosts({}, {})
        down.stop()
        nginx = self.nginx([f"server {down.address};", f"server {backup.address} backup;"]).start()
        self.assertEqual(answered(nginx.load(30)), {backup.address: 30})
        self.assertEqual(nginx.status()[0][backup.address]["sent_total"], 30)
        self.assertEqual(nginx.log()[-1]["reason"], "round_robin")
        self.assert_settled(nginx)

    def test_a_timeout_is_a_failure(self):
        [host] = self.hosts({"delay_s": 1.0})
        nginx = self.nginx([host], location="proxy_read_timeout 100ms;").start()
        self.assertEqual(nginx.get()[0], 504)
        self.assertEqual(nginx.status()[0][host.address]["failed_total"], 1)
        self.assert_settled(nginx)

    def test_a_response_that_breaks_off_is_a_failure(self):
        [host] = self.hosts({"body_delay_s": 5.0})
        nginx = self.nginx([host]).start()

        def break_off():
            until(lambda: host.served == 1, "the request does not arrive")
            host.stop()

        breaking = threading.Thread(target=break_off)
        breaking.start()
        with self.assertRaises(http.client.IncompleteRead):
            nginx.get()
        breaking.join()
        self.assert_settled(nginx)
        self.assertEqual(nginx.status()[0][host.address]["failed_total"], 1)

    def test_a_client_that_leaves_is_neither_success_nor_failure(self):
        [host] = self.hosts({"delay_s": 0.5})
        nginx = self.nginx([host]).start()
        with socket.create_connection(("127.0.0.1", nginx.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: nginx.status()[0][host.address]["in_flight"] == 1, "the request does not arrive")
        self.assert_settled(nginx)
        status = nginx.status()[0][host.address]
        self.assertEqual((status["done_total"], status["failed_total"]), (1, 0))
        self.assertIsNone(status["first_byte_s"])

    def test_max_conns_is_kept(self):
        hosts = self.hosts({"delay_s": 0.05}, {"delay_s": 0.05})
        nginx = self.nginx([f"server {host.address} max_conns=1;" for host in hosts]).start()
        answers = nginx.load(60, clients=6)
        self.assertGreater(sum(answered(answers).values()), 0)
        self.assertEqual({status for status, _ in answers}, {200, 502})
        self.assert_settled(nginx)


class Artifacts(Case):
    def refused(self, content, reason):
        [host] = self.hosts({})
        nginx = self.nginx([host], first="evenkeel bad.ekm;")
        if content is not None:
            with open(f"{nginx.folder}/bad.ekm", "wb") as file:
                file.write(content)
        accepted, said = nginx.test()
        self.assertFalse(accepted, said)
        self.assertIn("[emerg]", said)
        self.assertIn(f"{nginx.folder}/bad.ekm", said)
        self.assertRegex(said, r"nginx\.conf:\d+")
        self.assertIn(reason, said)

    def test_a_bad_artifact_is_refused_with_file_and_reason(self):
        with open(ARTIFACT, "rb") as file:
            good = file.read()
        corrupt = bytearray(good)
        corrupt[len(corrupt) // 2] ^= 1
        self.refused(None, "No such file")
        self.refused(b"", "truncated")
        self.refused(good[: len(good) // 2], "refused")
        self.refused(bytes(corrupt), "checksum")
        self.refused(b"x" * 4096, "not an Evenkeel artifact")

    def test_a_folder_is_not_an_artifact(self):
        [host] = self.hosts({})
        accepted, said = self.nginx([host], first="evenkeel .;").test()
        self.assertFalse(accepted)
        self.assertIn("not a regular file", said)

    def test_wrong_parameters_are_named(self):
        [host] = self.hosts({})
        for parameter, reason in (("zone=x", "zone=x"), ("zone=x:1k", "too small"), ("mode=on", "mode=on")):
            accepted, said = self.nginx([host], first=f"evenkeel {ARTIFACT} {parameter};").test()
            self.assertFalse(accepted, parameter)
            self.assertIn(reason, said)

    def test_a_reload_with_a_bad_artifact_keeps_the_configuration(self):
        [host] = self.hosts({})
        nginx = self.nginx([host], first="evenkeel model.ekm;")
        shutil.copy(ARTIFACT, f"{nginx.folder}/model.ekm")
        nginx.start()
        self.assertEqual(nginx.get()[0], 200)
        with open(f"{nginx.folder}/model.ekm", "r+b") as file:
            file.truncate(1000)
        said = nginx.reload()
        self.assertIn("[emerg]", said)
        self.assertIn("model.ekm", said)
        self.assertEqual(nginx.get()[0], 200)
        self.assertEqual(nginx.status()[1]["only_host"], 2)


class Reloads(Case):
    def test_counters_survive_reloads_under_load(self):
        hosts = self.hosts({"delay_s": 0.005}, {"delay_s": 0.005})
        nginx = self.nginx(hosts, workers=2, last="keepalive 8;").start()
        answers = {}
        load = threading.Thread(target=lambda: answers.update(nginx.load(400)))
        load.start()
        for _ in range(4):
            self.assertNotIn("[emerg]", nginx.reload())
            time.sleep(0.1)
        load.join()
        sent = sum(answers.values())
        self.assertEqual(sent, 400)
        self.assert_settled(nginx)
        status = nginx.status()[0]
        for host in hosts:
            self.assertEqual(status[host.address]["sent_total"], host.served)

    def test_servers_come_and_go(self):
        a, b, c = self.hosts({}, {}, {})
        nginx = self.nginx([a, b]).start()
        nginx.load(40)
        before = nginx.status()[0][a.address]["sent_total"]
        self.assertEqual(before, a.served)
        nginx.write(f"evenkeel {ARTIFACT}; server {c.address}; server {a.address};")
        nginx.reload()
        until(lambda: len(nginx.worker_pids()) == 1, "the old worker stays")
        until(lambda: set(nginx.status()[0]) == {a.address, c.address}, "the servers are still the old ones")
        self.assertEqual(nginx.status()[0][a.address]["sent_total"], before)
        served = b.served
        self.assertEqual(sum(answered(nginx.load(40)).values()), 40)
        self.assertEqual(b.served, served)
        self.assertEqual(nginx.status()[0][c.address]["sent_total"], c.served)

    def test_a_changed_weight_takes_effect(self):
        a, b = self.hosts({}, {})
        nginx = self.nginx([a, b]).start()
        nginx.load(20)
        sent = nginx.status()[0][a.address]["sent_total"]
        nginx.write(f"evenkeel {ARTIFACT}; server {a.address} weight=10; server {b.address};")
        nginx.reload()
        until(lambda: len(nginx.worker_pids()) == 1, "the old worker stays")
        self.assertEqual(nginx.status()[0][a.address]["weight"], 10)
        self.assertEqual(nginx.status()[0][a.address]["sent_total"], sent)
        self.assertEqual(sum(answered(nginx.load(20)).values()), 20)

    def test_what_a_killed_worker_had_under_way_is_taken_back(self):
        hosts = self.hosts({"delay_s": 1.0}, {"delay_s": 1.0})
        nginx = self.nginx(hosts).start()
        clients = [http.client.HTTPConnection("127.0.0.1", nginx.port) for _ in range(8)]
        for client in clients:
            self.addCleanup(client.close)
            client.request("GET", "/")

        def in_flight():
            return sum(host["in_flight"] for host in nginx.status()[0].values())

        until(lambda: in_flight() == 8, "the requests do not arrive")
        os.kill(nginx.worker_pids()[0], signal.SIGKILL)
        until(nginx.listens, "the worker does not come back")
        self.assert_settled(nginx)
        self.assertIn("8 requests of a dead worker taken back", nginx.errors())


class Observation(Case):
    def test_the_status_page_is_valid_prometheus_text(self):
        hosts = self.hosts({}, {})
        nginx = self.nginx(hosts).start()
        nginx.load(20)
        status, text = nginx.get("/status")
        self.assertEqual(status, 200)
        types, samples = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                self.assertNotIn(name, types)
                types[name] = kind
            elif not line.startswith("# HELP "):
                self.assertRegex(line, r'^evenkeel_\w+\{upstream="llm"(,\w+="[^"]*")*\} (NaN|-?[0-9.]+)$')
                name = line.split("{")[0]
                self.assertIn(name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count"), types)
                samples.setdefault(name, []).append(float(line.split()[-1]))
        self.assertEqual(sum(samples["evenkeel_requests_sent_total"]), 20)
        self.assertEqual(sum(samples["evenkeel_decisions_total"]), 20)
        self.assertEqual(len(samples["evenkeel_latency_seconds"]), 2)
        buckets = samples["evenkeel_decide_seconds_bucket"]
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual((buckets[-1], samples["evenkeel_decide_seconds_count"]), (20, [20]))
        self.assertEqual(nginx.get("/status", body=b"x")[0], 405)

    def test_the_log_tells_of_each_decision(self):
        hosts = self.hosts({}, {})
        nginx = self.nginx(hosts, first=f"evenkeel {ARTIFACT}; evenkeel_tokens $http_x_prompt_tokens;").start()
        nginx.get(headers={"X-Prompt-Tokens": "321"})
        nginx.get(headers={"X-Prompt-Tokens": "many"})
        first, second = nginx.log(2)
        self.assertEqual((first["prompt_tokens"], second["prompt_tokens"]), ("321", "0"))
        self.assertEqual(first["host"], first["upstream_addr"])
        self.assertEqual((first["reason"], first["tries"]), ("policy", "1"))
        self.assertLess(abs(float(first["score"])), 1000)
        self.assertGreater(int(first["decide_ns"]), 0)

    def test_a_report_in_the_response_is_read(self):
        reports = [
            "TEXT named_metrics.kv_cache_usage_perc=0.25, named_metrics.num_requests_waiting=3",
            'JSON {"named_metrics": {"kv_cache_usage_perc": 0.25, "num_requests_waiting": 3.0}}',
        ]
        for report in reports:
            [host] = self.hosts({"headers": {"endpoint-load-metrics": report}})
            nginx = self.nginx([host]).start()
            nginx.get()
            status = nginx.status()[0][host.address]
            self.assertEqual((status["kv_use"], status["waiting"], status["running"]), (0.25, 3, None))
            self.assertLess(status["report_age_s"], 10)

    def test_a_report_counts_as_soon_as_the_header_is_there(self):
        report = {"endpoint-load-metrics": "TEXT kv_cache_usage_perc=0.5"}
        [host] = self.hosts({"headers": report, "body_delay_s": 1.0})
        nginx = self.nginx([host]).start()
        client = http.client.HTTPConnection("127.0.0.1", nginx.port)
        self.addCleanup(client.close)
        client.request("GET", "/")
        until(lambda: nginx.status()[0][host.address]["kv_use"] == 0.5, "no report", seconds=0.8)
        status = nginx.status()[0][host.address]
        self.assertEqual(status["in_flight"], 1)
        self.assertEqual(client.getresponse().read().decode(), host.address)
        self.assert_settled(nginx)

    def test_hostile_reports_change_nothing(self):
        [host] = self.hosts({})
        nginx = self.nginx([host], location="proxy_buffer_size 32k; proxy_buffers 8 32k;").start()
        hostile = [
            "", " ", "TEXT", "TEXT ", "TEXT =", "TEXT ,,,,", "TEXT kv_cache_usage_perc", "TEXT kv_cache_usage_perc=",
            "TEXT kv_cache_usage_perc=nan", "TEXT kv_cache_usage_perc=-inf", "TEXT kv_cache_usage_perc=1e99",
            "TEXT kv_cache_usage_perc=-1", "TEXT kv_cache_usage_perc=" + "9" * 3000, "TEXT num_requests_waiting=1e30",
            "JSON", "JSON {", "JSON " + '{"a":' * 2000, "JSON " + "[" * 3000, 'JSON {"kv_cache_usage_perc":"0.5"}',
            'JSON {"kv_cache_usage_perc":0.5', "JSON null", "BIN AAAA", "x" * 9000, "%s%n\xff\xfe\t\\",
        ]
        self.assertEqual(len(hostile), 24)
        for report in hostile:
            host.headers = {"endpoint-load-metrics": report}
            self.assertEqual(nginx.get()[0], 200, report[:40])
            status = nginx.status()[0][host.address]
            self.assertEqual([status[name] for name in ("kv_use", "waiting", "running")], [None] * 3, report[:40])
        self.assertNotIn("exited on signal", nginx.errors())
        self.assert_settled(nginx)

    def test_without_a_variable_the_length_stands_for_the_tokens(self):
        [host] = self.hosts({})
        nginx = self.nginx([host]).start()
        nginx.get(body=b"x" * 4000)
        self.assertEqual(nginx.log()[0]["prompt_tokens"], "1000")


if __name__ == "__main__":
    unittest.main(verbosity=2)
