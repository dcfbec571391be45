"""The module inside of a real Envoy. `cargo xtask test` builds it and sets the environment."""

import collections
import json
import os
import socket
import struct
import sys
import threading
import time
import unittest

from harness import ARTIFACT, RETRIES, Envoy, built_in, module_filter, policy, request_filter, struct_of, until
from hosts import Host, Load


def llm(step_s, **options):
    """A host that says how long it takes for a token, on the scale of the model's service."""
    report = f"TEXT named_metrics.time_per_output_token_seconds={step_s}"
    return {"headers": {"endpoint-load-metrics": report}, **options}


def answered(answers):
    """Requests answered with 200 by each host."""
    by_host = collections.Counter()
    for (status, host), count in answers.items():
        if status == 200:
            by_host[host] += count
    return by_host


class Case(unittest.TestCase):
    def hosts(self, *options):
        hosts = [Host(**option) for option in options]
        for host in hosts:
            self.addCleanup(host.stop)
        return hosts

    def envoy(self, hosts, **options):
        envoy = Envoy(hosts, **options)
        self.addCleanup(envoy.stop)
        return envoy

    def assert_all_answered(self, answers, requests=None):
        self.assertEqual({status for status, _ in answers}, {200}, answers)
        if requests is not None:
            self.assertEqual(sum(answers.values()), requests)

    def assert_settled(self, envoy):
        """All requests have been counted out."""
        until(lambda: all(host["in_flight"] == 0 for host in envoy.status()[0].values()),
              lambda: f"requests stay in flight: {envoy.status()}")
        for host in envoy.status()[0].values():
            self.assertEqual(host["sent_total"], host["done_total"])
            self.assertEqual(host["in_flight_prompt_tokens"], 0)


class Routing(Case):
    def test_every_host_takes_part_with_one_two_and_four_workers(self):
        for workers in (1, 2, 4):
            with self.subTest(workers=workers):
                hosts = self.hosts(*[llm(0.02, delay_s=0.005)] * 3)
                envoy = self.envoy(hosts, workers=workers).start()
                answers = envoy.load(600, clients=16)
                self.assert_all_answered(answers, 600)
                by_host = answered(answers)
                self.assertGreater(min(by_host[host.address] for host in hosts), 0, by_host)
                self.assert_settled(envoy)
                status, decisions = envoy.status()
                for host in hosts:
                    self.assertEqual(status[host.address]["sent_total"], host.served)
                    self.assertIsNotNone(status[host.address]["latency_s"])
                self.assertEqual(decisions["policy"], 600)
                self.assertEqual(envoy.stats("evenkeel_decisions")["dynamicmodulescustom.evenkeel_decisions"], "600")
                envoy.stop()

    def test_a_slow_host_is_avoided(self):
        slow, *fast = self.hosts(llm(0.2, delay_s=0.05), llm(0.02), llm(0.02))
        envoy = self.envoy([slow, *fast]).start()
        by_host = answered(envoy.load(400))
        self.assertEqual(sum(by_host.values()), 400)
        self.assertLess(by_host[slow.address], 60, by_host)

    def test_a_host_that_fails_fast_is_avoided(self):
        failing, *good = self.hosts({"status": 500}, {"delay_s": 0.02}, {"delay_s": 0.02})
        envoy = self.envoy([failing, *good]).start()
        answers = envoy.load(300)
        self.assertLess(failing.served, 75, answers)
        self.assert_settled(envoy)
        status = envoy.status()[0]
        self.assertEqual(status[failing.address]["failed_total"], failing.served)
        self.assertEqual(sum(status[host.address]["failed_total"] for host in good), 0)


    def test_weights_are_taken_over_and_a_single_host_is_enough(self):
        [host] = self.hosts({})
        envoy = self.envoy([(host, {"load_balancing_weight": 7})]).start()
        self.assertEqual(answered(envoy.load(20)), {host.address: 20})
        status, decisions = envoy.status()
        self.assertEqual(decisions["only_host"], 20)
        self.assertEqual(status[host.address]["weight"], 7)
        self.assert_settled(envoy)

    def test_the_shadow_decides_and_leaves_the_choice_to_round_robin(self):
        hosts = self.hosts({"delay_s": 0.02}, {}, {})
        options = {"artifact": ARTIFACT, "mode": "shadow"}
        weighted = [(hosts[0], {"load_balancing_weight": 2}), hosts[1], hosts[2]]
        envoy = self.envoy(weighted, options=options).start()
        by_host = answered(envoy.load(80, clients=2))
        self.assertEqual([by_host[host.address] for host in hosts], [40, 20, 20])
        self.assertEqual(envoy.status()[1]["policy"], 80)
        self.assert_settled(envoy)

    def test_prompt_tokens_come_from_the_header_or_the_content_length(self):
        for options, request, expected in (
            ({"tokens": "X-Prompt-Tokens"}, {"headers": {"x-prompt-tokens": "321"}}, 321),
            ({"tokens": "x-prompt-tokens"}, {"headers": {"x-prompt-tokens": "many"}}, 0),
            ({}, {"body": b"x" * 400}, 100),
        ):
            with self.subTest(options=options):
                [host] = self.hosts({"delay_s": 0.3})
                envoy = self.envoy([host], options={"artifact": ARTIFACT, **options}).start()
                client = threading.Thread(target=lambda: envoy.get(**request))
                client.start()
                until(lambda: envoy.status()[0][host.address]["in_flight"] == 1, "the request does not arrive")
                self.assertEqual(envoy.status()[0][host.address]["in_flight_prompt_tokens"], expected)
                client.join()
                self.assert_settled(envoy)
                envoy.stop()

    def test_hostile_request_headers_do_no_harm(self):
        hosts = self.hosts({}, {})
        options = {"artifact": ARTIFACT, "tokens": "x-tokens", "key": "x-key"}
        envoy = self.envoy(hosts, options=options).start()
        values = ["", "-1", "1e999", "9" * 1000, "0x7fffffff", "\xff\xfe", "NaN", "4294967296", "a" * 8000, "1,2", "%00"]
        for value in values:
            for name in ("x-tokens", "x-key"):
                self.assertEqual(envoy.get(headers={name: value.encode("latin-1")})[0], 200, value)
        self.assert_settled(envoy)
        self.assertEqual(sum(host["sent_total"] for host in envoy.status()[0].values()), 2 * len(values))

    def test_the_policy_serves_each_subset_of_a_subset_load_balancer(self):
        hosts = self.hosts({}, {}, {})
        tiers = ["a", "a", "b"]
        envoy = self.envoy([
            (host, {"metadata": {"filter_metadata": {"envoy.lb": {"tier": tier}}}}) for host, tier in zip(hosts, tiers)
        ], lb_policy={"policies": [{"typed_extension_config": {
            "name": "envoy.load_balancing_policies.subset",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.subset.v3.Subset",
                "fallback_policy": "ANY_ENDPOINT",
                "subset_selectors": [{"keys": ["tier"]}],
                "subset_lb_policy": policy({"artifact": ARTIFACT}),
            },
        }}]}, route={"metadata_match": {"filter_metadata": {"envoy.lb": {"tier": "a"}}}}).start()
        by_host = answered(envoy.load(60))
        self.assertEqual((sum(by_host.values()), by_host[hosts[2].address]), (60, 0))
        self.assertEqual(len(envoy.status()[0]), 3)
        self.assert_settled(envoy)

    def test_a_new_host_gets_its_share_slowly_where_that_is_configured(self):
        old, new = self.hosts(llm(0.02), llm(0.02))
        envoy = self.envoy([old], options={"artifact": ARTIFACT, "slow_start": "60s"}).start()
        envoy.load(10)
        envoy.set_hosts([old, new])
        until(lambda: len(envoy.status()[0]) == 2, "the host does not come")
        by_host = answered(envoy.load(400))
        self.assertTrue(0 < by_host[new.address] < 100, by_host)

    def test_priorities_carry_what_envoys_own_policies_let_them(self):
        hosts = self.hosts({}, {}, {})
        dead = {"health_status": "UNHEALTHY"}
        envoy = self.envoy([[hosts[0], hosts[1]], [hosts[2]]]).start()
        self.assertEqual(answered(envoy.load(60))[hosts[2].address], 0)
        envoy.set_hosts([[hosts[0], (hosts[1], dead)], [hosts[2]]])
        until(lambda: envoy.stats("llm.membership_healthy")["cluster.llm.membership_healthy"] == "2", "no change")
        by_host = answered(envoy.load(400))
        # Half of the first priority's hosts carry 70 % (140 % overprovisioning).
        self.assertTrue(220 < by_host[hosts[0].address] < 340, by_host)
        self.assertEqual(by_host[hosts[1].address], 0)


class Membership(Case):
    def test_hosts_come_and_go_under_load(self):
        hosts = self.hosts(*[llm(0.02, delay_s=0.002)] * 6)
        envoy = self.envoy(hosts[:3], workers=2).start()
        load = Load(envoy.port, clients=8).start()
        for present in (hosts[:2], hosts[:6], hosts[3:], [hosts[5], hosts[0]], hosts):
            envoy.set_hosts(present)
            until(lambda: {host.address for host in present} == set(envoy.status()[0]), "the hosts do not change")
            time.sleep(0.3)
        answers = load.stop()
        self.assert_all_answered(answers)
        self.assertGreater(min(host.served for host in hosts), 0)
        self.assert_settled(envoy)

    def test_a_cluster_is_updated_under_load_and_a_bad_update_is_refused(self):
        hosts = self.hosts(*[llm(0.02, delay_s=0.002)] * 3)
        envoy = self.envoy(hosts, workers=2, by_cds=True).start()
        until(lambda: envoy.get()[0] == 200, "the cluster does not come")
        load = Load(envoy.port, clients=8).start()
        for n in range(1, 5):
            envoy.cluster["connect_timeout"] = f"{n}s"
            envoy.set_cluster()
            until(lambda: int(envoy.stats("cds.update_success")["cluster_manager.cds.update_success"]) > n, "no update")
        envoy.lb_policy = policy({"artifact": "/does/not/exist"})
        envoy.set_cluster()
        until(lambda: "/does/not/exist" in envoy.said(), "the bad update goes unnoticed")
        envoy.lb_policy = policy({"artifact": ARTIFACT, "mode": "shadow"})
        envoy.set_cluster()
        time.sleep(0.5)
        self.assert_all_answered(load.stop())
        self.assert_settled(envoy)
        status = envoy.status()[0]
        for host in hosts:
            self.assertEqual(status[host.address]["sent_total"], host.served)

    def test_what_was_learned_of_a_host_stays_with_its_address(self):
        a, b, c = self.hosts(*[llm(0.02)] * 3)
        envoy = self.envoy([a, b]).start()
        envoy.load(60)
        before = envoy.status()[0][b.address]["sent_total"]
        self.assertEqual(before, b.served)
        envoy.set_hosts([c, b])
        until(lambda: set(envoy.status()[0]) == {b.address, c.address}, "the hosts do not change")
        served = a.served
        self.assert_all_answered(envoy.load(60), 60)
        self.assertEqual(a.served, served)
        envoy.set_hosts([a, b, c])
        until(lambda: len(envoy.status()[0]) == 3, "the hosts do not change")
        status = envoy.status()[0]
        for host in (a, b, c):
            self.assertEqual(status[host.address]["sent_total"], host.served)

    def test_health_flips_under_load(self):
        hosts = self.hosts(*[llm(0.02, delay_s=0.002)] * 4)
        envoy = self.envoy(hosts, workers=2).start()
        load = Load(envoy.port, clients=8).start()
        for n in range(12):
            dead = {hosts[n % 4], hosts[(n + 1) % 4]}
            envoy.set_hosts([(host, {"health_status": "UNHEALTHY" if host in dead else "HEALTHY"}) for host in hosts])
            time.sleep(0.15)
            served = {host: host.served for host in dead}
            time.sleep(0.1)
            for host in dead:
                self.assertLessEqual(host.served - served[host], 8, "an unhealthy host still gets requests")
        self.assert_all_answered(load.stop())
        self.assert_settled(envoy)

    def test_all_unhealthy_and_back(self):
        hosts = self.hosts({}, {})
        dead = [(host, {"health_status": "UNHEALTHY"}) for host in hosts]
        envoy = self.envoy(dead, workers=2).start()
        answers = envoy.load(20)
        self.assertEqual({status for status, _ in answers}, {503})
        self.assertIn("no healthy upstream", next(iter(answers))[1])
        envoy.set_hosts(hosts)
        until(lambda: envoy.get()[0] == 200, "the hosts stay out")
        self.assert_all_answered(envoy.load(40), 40)
        envoy.set_hosts([])
        until(lambda: envoy.get()[0] == 503, "hosts that are gone still answer")
        envoy.set_hosts(hosts[:1])
        until(lambda: envoy.get()[0] == 200, "the host does not come back")
        self.assert_settled(envoy)


class Failures(Case):
    def test_a_retry_goes_to_a_host_that_was_not_tried(self):
        hosts = self.hosts({"status": 503}, {"status": 503}, {})
        envoy = self.envoy(hosts, route=RETRIES).start()
        self.assertEqual(answered(envoy.load(60, clients=4)), {hosts[2].address: 60})
        tries = sum(host.served for host in hosts)
        self.assertLessEqual(tries, 180)
        self.assertEqual(sum(host["sent_total"] for host in envoy.status()[0].values()), tries)
        self.assert_settled(envoy)

    def test_a_timeout_is_a_failure(self):
        [host] = self.hosts({"delay_s": 1.0})
        envoy = self.envoy([host], route={"timeout": "0.1s"}).start()
        self.assertEqual(envoy.get()[0], 504)
        self.assert_settled(envoy)
        self.assertEqual(envoy.status()[0][host.address]["failed_total"], 1)

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
        [host] = self.hosts({"body_delay_s": 0.5})
        envoy = self.envoy([host]).start()
        threading.Timer(0.2, host.stop).start()
        self.assertEqual({status for status, _ in envoy.load(1)}, {0})
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
            time.sleep(0.05)
            envoy.load(8, clients=4)
            seen = envoy.status()[0][host.address]
            self.assertLessEqual(seen["in_flight"], 16)
            self.assertEqual(seen["failed_total"] > 300, fails, seen)
            self.assertIsNone(seen["latency_s"])
            envoy.stop()

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


class Filters(Case):
    def test_the_body_tells_the_prompt(self):
        [host] = self.hosts({})
        envoy = self.envoy([host], filters=[request_filter({})]).start()
        kept = {"content-type": "application/json; charset=utf-8", "x-evenkeel-prompt-tokens": "7",
                "x-evenkeel-prefix": "mine"}

        def told(body, headers=None):
            status, _ = envoy.get(headers=headers or kept, body=body)
            self.assertEqual(status, 200)
            head = dict(line.split(": ", 1) for line in host.requests[-1].split("\r\n")[1:])
            return head.get("x-evenkeel-prompt-tokens"), head.get("x-evenkeel-prefix")

        short = told('{"prompt": "%s"}' % ("a" * 400))
        self.assertEqual(short[0], "100")
        self.assertRegex(short[1], "^[0-9a-f]{16}$")
        long = told('{"model": "m", "prompt": "%s"}' % ("a" * 400_000))
        self.assertTrue(abs(int(long[0]) - 100_000) < 20, long)
        self.assertNotEqual(long[1], short[1])
        self.assertEqual(told("not json at all"), (None, None))
        self.assertEqual(told("{}"), (None, None))
        self.assertEqual(told(b"\x00" * 100), (None, None))
        self.assertEqual(told('{"prompt": "a"}', {**kept, "content-type": "text/plain"}), (None, None))
        self.assertEqual(envoy.get(headers=kept)[0], 200)

    def test_a_session_returns_to_the_host_that_has_its_prefix(self):
        hosts = self.hosts(*[llm(0.02)] * 4)
        options = {"artifact": ARTIFACT, "tokens": "x-evenkeel-prompt-tokens", "key": "x-evenkeel-prefix"}
        envoy = self.envoy(hosts, options=options, filters=[request_filter({})]).start()
        envoy.load(100)
        headers = {"content-type": "application/json"}
        served = [envoy.get(headers=headers, body='{"prompt": "%s"}' % ("a" * 20_000))[1] for _ in range(12)]
        self.assertGreaterEqual(max(collections.Counter(served).values()), 9, served)

    def test_the_response_filter_tells_of_the_first_byte_at_once(self):
        [host] = self.hosts(llm(0.02, body_delay_s=0.6))
        for upstream_filters in ([], [module_filter("response", {})]):
            envoy = self.envoy([host], upstream_filters=upstream_filters).start()
            client = threading.Thread(target=envoy.get)
            client.start()
            time.sleep(0.3)
            status = envoy.status()[0][host.address]
            self.assertEqual(status["in_flight"], 1)
            self.assertEqual(status["first_byte_s"] is not None, bool(upstream_filters))
            self.assertEqual(status["report"]["step_s"] is not None, bool(upstream_filters))
            client.join()
            self.assert_settled(envoy)
            self.assertIsNotNone(envoy.status()[0][host.address]["first_byte_s"])
            self.assertLess(envoy.status()[0][host.address]["first_byte_s"], 0.3)
            envoy.stop()

    def test_where_too_few_hosts_are_healthy_all_get_requests(self):
        hosts = self.hosts({}, {}, {})
        dead = [(host, {"health_status": "UNHEALTHY"}) for host in hosts]
        statuses = ["UNKNOWN", "HEALTHY", "DEGRADED", "UNHEALTHY"]
        envoy = self.envoy(dead, filters=[request_filter({"panic_percent": 50})],
                           cluster={"common_lb_config": {"override_host_status": {"statuses": statuses}}}).start()
        by_host = answered(envoy.load(60))
        self.assertEqual({by_host[host.address] for host in hosts}, {20})
        envoy.set_hosts([*dead[:1], *hosts[1:]])
        until(lambda: envoy.stats("llm.membership_healthy")["cluster.llm.membership_healthy"] == "2", "no change")
        by_host = answered(envoy.load(60))
        self.assertEqual((sum(by_host.values()), by_host[hosts[0].address]), (60, 0))


class Pages(Case):
    def test_a_choice_is_explained(self):
        hosts = self.hosts(llm(0.02), llm(0.2))
        envoy = self.envoy(hosts).start()
        envoy.load(60)
        status, body = envoy.ask("/evenkeel/explain?prompt_tokens=500")
        explained = json.loads(body)
        self.assertEqual(status, 200)
        self.assertEqual(explained["reason"], "policy")
        self.assertEqual((explained["best"], explained["runner_up"]), (hosts[0].address, hosts[1].address))
        scores = {host["host"]: host["score"] for host in explained["hosts"]}
        self.assertLess(scores[hosts[0].address], scores[hosts[1].address])
        self.assertEqual(envoy.ask("/evenkeel/explain?cluster=other")[0], 400)

    def test_scalers_are_told_the_demand(self):
        [host] = self.hosts({})
        options = {"artifact": ARTIFACT, "scale": {"capacity": 5, "headroom": 1}}
        envoy = self.envoy([host], options=options).start()
        load = Load(envoy.port, clients=1).start()
        until(lambda: json.loads(envoy.ask("/evenkeel/scale?cluster=llm")[1])["present_per_s"] > 10, "no demand")
        demand = json.loads(envoy.ask("/evenkeel/scale")[1])
        self.assertAlmostEqual(demand["replicas"], demand["present_per_s"] / 5, delta=0.01 * demand["replicas"])
        time.sleep(1.2)
        stats = envoy.stats("evenkeel_demand")
        load.stop()
        [milli] = [int(value) for name, value in stats.items() if "millireplicas" in name]
        self.assertGreater(milli, 2000)

    def test_telemetry_of_the_agent_is_read(self):
        hosts = self.hosts({}, {})
        envoy = self.envoy(hosts, options={})
        path = f"{envoy.folder}/llm.tel"
        envoy.options.update(artifact=ARTIFACT, telemetry=path)
        envoy.write(f"{envoy.folder}/envoy.json", envoy.configuration())
        envoy.start()
        until(lambda: "decisions go on without" in envoy.said(), "its absence goes unnoticed")
        for content in (b"nothing of the kind", telemetry_file(hosts, 3)[:200], b""):
            with open(path, "wb") as file:
                file.write(content)
            self.assert_all_answered(envoy.load(20), 20)
        self.assertEqual(envoy.said().count("decisions go on without"), 1)
        for running in (3, 5):
            with open(f"{path}.new", "wb") as file:
                file.write(telemetry_file(hosts, running))
            os.rename(f"{path}.new", path)
            until(lambda: all(host["report"]["running"] == running for host in envoy.status()[0].values()),
                  lambda: f"not taken over: {envoy.status()}")
        self.assertIn("is read again", envoy.said())


def telemetry_file(hosts, running):
    """What the agent writes: see the format in the runtime's `telemetry_file`."""
    magic, ones = int.from_bytes(b"EVKTELEM", sys.byteorder), (1 << 64) - 1
    slots = [[0] * 8 for _ in range(8)]
    for host in hosts:
        key = 0xCBF29CE484222325
        for byte in host.address.encode():
            key = (key ^ byte) * 0x100000001B3 & ones
        place = next(n for n in (*range(key % 8, 8), *range(key % 8)) if slots[n][1] == 0)
        [load] = struct.unpack("=Q", struct.pack("=ff", running, 0))
        words = [key, time.monotonic_ns() // 1000, load, 0, struct.unpack("=I", struct.pack("=f", 0.02))[0]]
        check = magic
        for word in words:
            check = (check ^ word) * 0x9E3779B97F4A7C15 & ones
            check = (check << 31 | check >> 33) & ones
        slots[place] = [2, *words, check, 0]
    header = [magic, 1 | 8 << 32, time.monotonic_ns() // 1000, 1, *[0] * 12]
    return struct.pack("=80Q", *header, *(word for slot in slots for word in slot))


class Artifacts(Case):
    def setUp(self):
        with open(ARTIFACT, "rb") as file:
            self.good = file.read()
        corrupt = bytearray(self.good)
        corrupt[len(corrupt) // 2] ^= 1
        self.bad = {
            "truncated": self.good[: len(self.good) // 2],
            "checksum": bytes(corrupt),
            "not an Evenkeel artifact": b"x" * 4096,
            "truncated: ": b"",
        }

    def swap(self, envoy, content):
        with open(f"{envoy.folder}/model.new", "wb") as file:
            file.write(content)
        os.rename(f"{envoy.folder}/model.new", f"{envoy.folder}/model.ekm")

    def test_hot_swaps_good_and_bad_under_load(self):
        hosts = self.hosts(*[llm(0.02, delay_s=0.002)] * 3)
        envoy = self.envoy(hosts, workers=2, options={})
        envoy.options["artifact"] = f"{envoy.folder}/model.ekm"
        envoy.write(f"{envoy.folder}/envoy.json", envoy.configuration())
        self.swap(envoy, self.good)
        envoy.start()
        load = Load(envoy.port, clients=8).start()
        for n, content in enumerate(self.bad.values(), 1):
            self.swap(envoy, content)
            until(lambda: envoy.artifact()["refusals"] == n, lambda: f"not refused: {envoy.artifact()}")
            self.swap(envoy, self.good)
            until(lambda: envoy.artifact()["swaps"] == n, lambda: f"not taken over: {envoy.artifact()}")
        os.remove(f"{envoy.folder}/model.ekm")
        until(lambda: envoy.artifact()["refusals"] == len(self.bad) + 1, "the loss goes unnoticed")
        self.assert_all_answered(load.stop())
        said = envoy.said()
        for reason in self.bad:
            self.assertIn(reason.strip(": "), said)
        self.assertIn(f"{envoy.folder}/model.ekm", said)
        self.assertEqual(envoy.status()[1]["no_policy"] + envoy.status()[1]["no_score"], 0)
        stats = envoy.stats("evenkeel_artifact")
        self.assertEqual(stats["dynamicmodulescustom.evenkeel_artifact_swaps"], str(len(self.bad)))
        self.assertEqual(stats["dynamicmodulescustom.evenkeel_artifact_refusals"], str(len(self.bad) + 1))
        self.assert_settled(envoy)

    def test_a_bad_artifact_is_refused_at_the_start(self):
        [host] = self.hosts({})
        for reason, content in self.bad.items():
            envoy = self.envoy([host], options={})
            envoy.options["artifact"] = f"{envoy.folder}/model.ekm"
            envoy.write(f"{envoy.folder}/envoy.json", envoy.configuration())
            self.swap(envoy, content)
            accepted, said = envoy.validate()
            self.assertFalse(accepted)
            self.assertIn(reason.strip(": "), said)
            self.assertIn(f"{envoy.folder}/model.ekm", said)


class Configuration(Case):
    def test_each_wrong_field_is_named(self):
        [host] = self.hosts({})
        for options, named in (
            ({}, "artifact"),
            ({"artifact": "/does/not/exist"}, "/does/not/exist"),
            ({"artifact": "/"}, "not a regular file"),
            ({"artifact": 7}, "artifact"),
            ({"artifact": ARTIFACT, "zone": "x"}, "zone"),
            ({"artifact": ARTIFACT, "mode": "on"}, "mode"),
            ({"artifact": ARTIFACT, "tokens": "two words"}, "tokens"),
            ({"artifact": ARTIFACT, "key": ""}, "key"),
            ({"artifact": ARTIFACT, "output_tokens": []}, "output_tokens"),
            ({"artifact": ARTIFACT, "slow_start": "soon"}, "slow_start"),
            ({"artifact": ARTIFACT, "telemetry": 1}, "telemetry"),
            ({"artifact": ARTIFACT, "scale": {"capacity": -1.5}}, "scale.capacity"),
            ({"artifact": ARTIFACT, "scale": {"size": 1}}, "scale.size"),
        ):
            with self.subTest(options=options):
                accepted, said = self.envoy([host], options=options).validate()
                self.assertFalse(accepted, said)
                self.assertIn("evenkeel: lb_policy_config", said)
                self.assertIn(named, said)

    def test_wrong_fields_of_the_filters_are_named(self):
        [host] = self.hosts({})
        for filters, named in (
            ([request_filter({"token": "x"})], "token"),
            ([request_filter({"panic_percent": 101})], "panic_percent"),
            ([request_filter({"key": "a b"})], "key"),
            ([module_filter("requests", {})], "requests"),
        ):
            accepted, said = self.envoy([host], filters=filters).validate()
            self.assertFalse(accepted, said)
            self.assertIn(named, said)

    def test_the_access_log_and_the_bootstrap_extension_have_no_fields(self):
        [host] = self.hosts({})
        for path, complaint in (
            (("bootstrap_extensions", 0, "typed_config", "extension_config"), "extension_config"),
            (("static_resources", "listeners", 0, "filter_chains", 0, "filters", 0, "typed_config", "http_filters", 0,
              "typed_config", "upstream_log", 0, "typed_config", "logger_config"), "logger_config"),
        ):
            envoy = self.envoy([host])
            configuration = envoy.configuration()
            *place, last = path
            part = configuration
            for key in place:
                part = part[key]
            part[last] = struct_of({"interval": "1s"})
            envoy.write(f"{envoy.folder}/envoy.json", configuration)
            accepted, said = envoy.validate()
            self.assertFalse(accepted, said)
            self.assertIn(f'{complaint}: unknown field "interval"', said)

    def test_a_good_configuration_is_accepted(self):
        [host] = self.hosts({})
        options = {"artifact": ARTIFACT, "mode": "active", "tokens": "x-prompt-tokens", "key": "x-session",
                   "output_tokens": "x-output-tokens", "slow_start": 1.5, "telemetry": "/run/evenkeel/llm.tel",
                   "scale": {"capacity": 2.5, "lead": 85, "quantile": 0.9, "headroom": 1.1}}
        accepted, said = self.envoy([host], options=options).validate()
        self.assertTrue(accepted, said)


if __name__ == "__main__":
    unittest.main()
