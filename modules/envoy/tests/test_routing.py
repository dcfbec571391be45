"""Where requests go, and that changes of the cluster do not lose any."""

import json
import threading
import time
import unittest

from again import again
from case import Case
from harness import ARTIFACT, policy
from hosts import llm
from load import Load, answered
from waiting import until


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

    @again
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

    def test_classes_tell_how_much_will_be_generated(self):
        hosts = self.hosts({}, {})
        options = {"artifact": ARTIFACT, "class": "X-Model", "output_tokens": "x-output-tokens"}
        envoy = self.envoy(hosts, options=options, workers=2).start()

        def explained(query):
            return json.loads(envoy.ask(f"/evenkeel/explain?prompt_tokens=100&{query}")[1])

        for model, tokens in (("long", 900), ("short", 30)):
            for host in hosts:
                host.headers = {"x-output-tokens": str(tokens)}
            self.assert_all_answered(envoy.load(40, headers=[("x-model", model)]), 40)
        self.assert_settled(envoy)
        self.assertEqual([explained(f"class={model}")["output_tokens"] for model in ("long", "short", "new")],
                         [900, 30, None])
        estimates = {model: explained(f"class={model}")["hosts"][0]["estimate_s"] for model in ("long", "short")}
        self.assertGreater(estimates["long"], estimates["short"])

    def test_hostile_request_headers_do_no_harm(self):
        hosts = self.hosts({}, {})
        names = {field: f"x-{field.replace('_', '-')}" for field in ("tokens", "key", "class", "max_tokens")}
        options = {"artifact": ARTIFACT, **names}
        envoy = self.envoy(hosts, options=options).start()
        values = ["", "-1", "1e999", "9" * 1000, "0x7fffffff", "\xff\xfe", "NaN", "4294967296", "a" * 8000, "1,2", "%00"]
        for value in values:
            for name in names.values():
                self.assertEqual(envoy.get(headers={name: value.encode("latin-1")})[0], 200, value)
        self.assert_settled(envoy)
        self.assertEqual(sum(host["sent_total"] for host in envoy.status()[0].values()), len(names) * len(values))

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

    @again
    def test_a_new_host_gets_its_share_slowly_where_that_is_configured(self):
        old, new = self.hosts(*[llm(0.02, delay_s=0.005)] * 2)
        envoy = self.envoy([old], options={"artifact": ARTIFACT, "slow_start": "2s"}).start()
        envoy.load(10)
        # As in Envoy's own slow start, hosts that start together are all alike.
        time.sleep(2.0)
        envoy.set_hosts([old, new])
        until(lambda: len(envoy.status()[0]) == 2, "the host does not come")
        by_host = answered(envoy.load(400))
        self.assertTrue(0 < by_host[new.address] < 100, by_host)

    def test_so_does_one_that_turns_healthy_again(self):
        hosts = self.hosts(*[llm(0.02, delay_s=0.005)] * 3)
        envoy = self.envoy(hosts, workers=2, options={"artifact": ARTIFACT, "slow_start": 2}).start()
        self.assert_all_answered(envoy.load(60), 60)
        time.sleep(2.0)
        for health, healthy in (("UNHEALTHY", "2"), ("HEALTHY", "3")):
            envoy.set_hosts([(hosts[0], {"health_status": health}), *hosts[1:]])
            until(lambda: envoy.stats("llm.membership_healthy")["cluster.llm.membership_healthy"] == healthy, "no change")
        by_host = answered(envoy.load(400))
        self.assertTrue(0 < by_host[hosts[0].address] < 100, by_host)

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


if __name__ == "__main__":
    unittest.main()
