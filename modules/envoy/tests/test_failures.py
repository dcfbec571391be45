"""Hosts that fail, and what is learned from how attempts end."""

import contextlib
import os
import socket
import time
import types
import unittest

from case import Case
from free_port import free_port
from harness import RETRIES, built_in, module_filter
from hosts import llm
from load import Load, answered
from waiting import until


class Failures(Case):
    def test_a_retry_goes_to_a_host_that_was_not_tried(self):
        hosts = self.hosts({"status": 503}, {"status": 503}, {})
        envoy = self.envoy(hosts, route=RETRIES).start()
        self.assertEqual(answered(envoy.load(60, clients=4)), {hosts[2].address: 60})
        tries = sum(host.served for host in hosts)
        self.assertLessEqual(tries, 180)
        status, decisions = envoy.status()
        self.assertEqual(sum(host["sent_total"] for host in status.values()), tries)
        self.assertEqual(sum(decisions.values()), tries, "one decision for each attempt")
        self.assertEqual(envoy.stats("evenkeel_decisions")["dynamicmodulescustom.evenkeel_decisions"], str(tries))
        self.assert_settled(envoy)

    def test_so_does_one_whose_route_does_not_say_how_often_hosts_may_be_chosen(self):
        hosts = self.hosts({"status": 503}, {"status": 503}, {})
        retry_policy = {**RETRIES["retry_policy"]}
        del retry_policy["host_selection_retry_max_attempts"]
        envoy = self.envoy(hosts, route={"retry_policy": retry_policy}).start()
        self.assertEqual(answered(envoy.load(60, clients=4)), {hosts[2].address: 60})
        tries = sum(host.served for host in hosts)
        self.assertLessEqual(tries, 180)
        self.assertEqual(sum(envoy.status()[1].values()), tries, "one decision for each attempt")
        self.assert_settled(envoy)

    def test_a_timeout_is_a_failure(self):
        [host] = self.hosts({"delay_s": 1.0})
        envoy = self.envoy([host], route={"timeout": "0.1s"}).start()
        self.assertEqual(envoy.get()[0], 504)
        self.assert_settled(envoy)
        self.assertEqual(envoy.status()[0][host.address]["failed_total"], 1)

    def test_timeouts_are_failures_though_their_attempts_began_late(self):
        """Envoy measures them from when its thread woke up, which may be long before."""
        [host] = self.hosts({"delay_s": 10.0})
        envoy = self.envoy([host], workers=2, route={"timeout": "2s"}).start()
        self.assertEqual({status for status, _ in envoy.load(400, clients=400)}, {504})
        self.assert_settled(envoy)
        self.assertEqual(envoy.status()[0][host.address]["failed_total"], 400)

    def test_timeouts_of_all_kinds_are_failures(self):
        for kind, host, route, router in (
            ("of an attempt", {"delay_s": 5.0}, {"retry_policy": {"retry_on": "5xx", "per_try_timeout": "0.1s"}}, {}),
            ("within the response", {"body_delay_s": 5.0}, {"timeout": "0.3s"}, {}),
            ("unknown to hosts", {"delay_s": 5.0}, {"timeout": "0.1s"}, {"suppress_envoy_headers": True}),
        ):
            with self.subTest(kind):
                [host] = self.hosts(host)
                envoy = self.envoy([host], route=route, router=router).start()
                self.assertNotIn((200, host.address), envoy.load(1))
                self.assert_settled(envoy)
                seen = envoy.status()[0][host.address]
                self.assertEqual(seen["failed_total"], seen["sent_total"])
                envoy.stop()

    def test_a_host_that_takes_no_connection_in_time_fails(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            # Fills the queue: whoever comes now waits.
            with contextlib.ExitStack() as ends:
                for _ in range(4):
                    waiting = ends.enter_context(socket.socket())
                    waiting.setblocking(False)
                    waiting.connect_ex(listener.getsockname())
                host = types.SimpleNamespace(port=listener.getsockname()[1])
                envoy = self.envoy([host], route={"timeout": "0.2s"}, cluster={"connect_timeout": "5s"}).start()
                self.assertEqual(envoy.get()[0], 504)
                self.assert_settled(envoy)
                self.assertEqual([seen["failed_total"] for seen in envoy.status()[0].values()], [1])

    def test_a_refused_connection_and_a_reset_are_failures(self):
        for resets in (False, True):
            with self.subTest(resets=resets):
                [host] = self.hosts({"resets": resets})
                if not resets:
                    host.stop()
                envoy = self.envoy([host]).start()
                self.assertEqual(envoy.get()[0], 503)
                self.assert_settled(envoy)
                self.assertEqual(envoy.status()[0][host.address]["failed_total"], 1)
                envoy.stop()

    def test_a_response_that_breaks_off_is_a_failure(self):
        [host] = self.hosts({"body_delay_s": 5.0})
        envoy = self.envoy([host]).start()
        with socket.create_connection(("127.0.0.1", envoy.port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(client.recv(1 << 16).startswith(b"HTTP/1.1 200"))
            host.stop()
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(client.recv(1 << 16), b"")
        self.assert_settled(envoy)
        self.assertEqual(envoy.status()[0][host.address]["failed_total"], 1)

    def test_a_client_that_leaves_is_neither_success_nor_failure(self):
        [host] = self.hosts({"delay_s": 0.5})
        envoy = self.envoy([host]).start()
        with socket.create_connection(("127.0.0.1", envoy.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: envoy.status()[0][host.address]["in_flight"] == 1, "the request does not arrive")
        self.assert_settled(envoy)
        status = envoy.status()[0][host.address]
        self.assertEqual((status["done_total"], status["failed_total"]), (1, 0))
        self.assertIsNone(status["first_byte_s"])

    def test_nor_is_one_that_leaves_within_a_response(self):
        [host] = self.hosts({"body_delay_s": 1.0})
        envoy = self.envoy([host]).start()
        with socket.create_connection(("127.0.0.1", envoy.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(client.recv(1 << 16).startswith(b"HTTP/1.1 200"))
        self.assert_settled(envoy)
        status = envoy.status()[0][host.address]
        self.assertEqual((status["done_total"], status["failed_total"]), (1, 0))
        self.assertIsNone(status["latency_s"])

    def test_an_answer_without_work_says_nothing_of_the_host(self):
        grpc = {"content-type": "application/grpc"}
        for kind, host, method in (
            ("not found", {"status": 404}, None),
            ("bad request", {"status": 400, "delay_s": 0.01}, None),
            ("redirect", {"status": 307, "headers": {"location": "/v1"}}, None),
            ("not modified", {"status": 304}, None),
            ("no content", {"status": 204}, None),
            ("empty", {"body": ""}, None),
            ("HEAD", {}, "HEAD"),
            ("gRPC, not found", {"headers": {**grpc, "grpc-status": "5"}}, None),
            ("gRPC, not found, without a message", {"headers": {**grpc, "grpc-status": "5"}, "body": ""}, None),
        ):
            for upstream_filters in ([], [module_filter("response", {})]):
                with self.subTest(kind, filters=len(upstream_filters)):
                    [host_] = self.hosts(host)
                    envoy = self.envoy([host_], upstream_filters=upstream_filters).start()
                    for _ in range(3):
                        self.assertEqual(envoy.get(method=method)[0], host.get("status", 200))
                    self.assert_settled(envoy)
                    seen = envoy.status()[0][host_.address]
                    self.assertEqual((seen["done_total"], seen["failed_total"]), (3, 0))
                    learned = {name: seen[name] for name in ("latency_s", "first_byte_s", "step_s")}
                    self.assertEqual(set(learned.values()), {None}, learned)
                    envoy.stop()

    def test_a_grpc_status_of_the_hosts_own_making_is_a_failure(self):
        for grpc_status, failed in ((0, 0), (8, 1), (13, 1), (14, 1)):
            with self.subTest(grpc_status):
                [host] = self.hosts({"headers": {"content-type": "application/grpc", "grpc-status": grpc_status}})
                envoy = self.envoy([host]).start()
                self.assertEqual(envoy.get()[0], 200)
                self.assert_settled(envoy)
                self.assertEqual(envoy.status()[0][host.address]["failed_total"], failed)
                envoy.stop()

    def test_an_upgraded_connection_says_nothing_of_the_host(self):
        [host] = self.hosts({"status": 101, "headers": {"connection": "upgrade", "upgrade": "websocket"}})
        envoy = self.envoy([host], manager={"upgrade_configs": [{"upgrade_type": "websocket"}]}).start()
        with socket.create_connection(("127.0.0.1", envoy.port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            self.assertTrue(client.recv(1 << 16).startswith(b"HTTP/1.1 101"))
            time.sleep(0.3)
        self.assert_settled(envoy)
        seen = envoy.status()[0][host.address]
        self.assertEqual((seen["done_total"], seen["failed_total"]), (1, 0))
        self.assertEqual((seen["latency_s"], seen["first_byte_s"]), (None, None))

    def test_no_request_is_lost_while_a_host_is_killed_and_restarted(self):
        """None, that is, which least_request answers: both under the same retries."""
        seconds = float(os.environ.get("EVENKEEL_CHURN_SECONDS", "8"))
        hosts = self.hosts(*[llm(0.02)] * 4)
        for policy in ("evenkeel", "least_request"):
            lb_policy = None if policy == "evenkeel" else built_in(policy)
            envoy = self.envoy(hosts, workers=2, route=RETRIES, lb_policy=lb_policy).start()
            load = Load(envoy.port, clients=16).start()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                hosts[0].stop()
                time.sleep(0.5)
                hosts[0].start()
                time.sleep(0.5)
            answers = load.stop()
            print(f"{policy}: {sum(answers.values())} requests, {sum(answered(answers).values())} answered")
            if policy == "evenkeel":
                self.assert_all_answered(answers)
                self.assert_settled(envoy)
            envoy.stop()


class Feedback(Case):
    def test_without_the_log_envoys_own_counts_are_used(self):
        for status, fails in ((200, False), (500, True)):
            [host] = self.hosts({"delay_s": 0.005, "status": status})
            envoy = self.envoy([host], workers=2, log=False).start()
            envoy.load(400)

            def seen_after_a_few_more():
                envoy.load(8, clients=4)
                return envoy.status()[0][host.address]

            # What Envoy has counted out is told to whoever chooses next; on a busy machine not at once.
            until(lambda: seen_after_a_few_more()["in_flight"] <= 16, "what was answered stays in flight")
            seen = envoy.status()[0][host.address]
            self.assertEqual(seen["failed_total"] > 300, fails, seen)
            self.assertIsNone(seen["latency_s"])
            envoy.stop()

    def test_what_is_never_logged_does_not_stay_counted(self):
        """TCP proxies have no log of attempts; with one, counts are put right after 15 s."""
        hosts = self.hosts({}, {})
        envoy = self.envoy(hosts)
        configuration = envoy.configuration()
        port = free_port()
        tcp = {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
               "stat_prefix": "tcp", "cluster": "llm"}
        configuration["static_resources"]["listeners"].append({
            "name": "tcp", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": tcp}]}],
        })
        envoy.write(f"{envoy.folder}/envoy.json", configuration)
        envoy.start()

        def in_flight():
            return sum(host["in_flight"] for host in envoy.status()[0].values())

        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                self.assertTrue(client.recv(1 << 16).startswith(b"HTTP/1.1 200"))
        self.assertEqual(in_flight(), 5)

        def settles():
            time.sleep(0.5)
            self.assertEqual(envoy.get()[0], 200)
            return in_flight() == 0

        until(settles, lambda: f"stays counted: {envoy.status()}", 30)

    def test_reports_are_read_and_hostile_ones_are_not(self):
        [host] = self.hosts({})
        envoy = self.envoy([host]).start()
        host.headers = {
            "endpoint-load-metrics": 'JSON {"named_metrics": {"kv_cache_usage_perc": 0.5, "num_requests_waiting": 2}}'
        }
        envoy.get()
        self.assert_settled(envoy)
        report = envoy.status()[0][host.address]["report"]
        self.assertEqual((report["kv_use"], report["waiting"], report["running"]), (0.5, 2, None))
        for hostile in HOSTILE_REPORTS:
            host.headers = {"endpoint-load-metrics": hostile}
            self.assertEqual(envoy.get()[0], 200, hostile[:80])
        self.assert_settled(envoy)
        report = envoy.status()[0][host.address]["report"]
        self.assertEqual((report["kv_use"], report["waiting"]), (0.5, 2))
        self.assertEqual(envoy.status()[0][host.address]["done_total"], 1 + len(HOSTILE_REPORTS))


HOSTILE_REPORTS = [
    "", " ", "TEXT", "TEXT =", "TEXT ,", "TEXT kv_cache_usage_perc", "TEXT kv_cache_usage_perc=",
    "TEXT kv_cache_usage_perc=nan", "TEXT kv_cache_usage_perc=inf", "TEXT kv_cache_usage_perc=1e999999999999",
    "TEXT kv_cache_usage_perc=0.1,", "TEXT kv_cache_usage_perc=0.1;x", "TEXT unknown=1", "JSON", "JSON {", "JSON []",
    'JSON {"', 'JSON {"kv_cache_usage_perc"', 'JSON {"kv_cache_usage_perc":0.1', 'JSON {"kv_cache_usage_perc":"0.1"}',
    'JSON {"kv_cache_usage_perc":0.1}}', "JSON " + '{"a":' * 1000, "BIN CgQIARAB", "TEXT " + "a=1," * 2000,
    "\xff\xfe\xfd",
]


if __name__ == "__main__":
    unittest.main()
