"""
What hosts and clients do in the long run, and what it may cost: the rows of `cases.json` that NGINX and
Envoy have in common, on a real proxy. Each figure is printed beside its bound.
"""

import contextlib
import random
import socket
import statistics
import threading
import time

from again import again
from hosts import Batch, llm
from load import Load, answered
from telemetry import write_telemetry
from waiting import until

# Seconds that a request takes at a host in good order: long beside what a busy machine adds.
GOOD_S = 0.05


def figure(row, what, value, bound):
    print(f"row {row}: {what}: {value} (bound: {bound})", flush=True)


def interval(values):
    """Mean of what several runs gave, and two standard errors of it."""
    return statistics.mean(values), 2 * statistics.stdev(values) / len(values) ** 0.5


class Answers:
    """Rows that depend on how responses are read. `proxy` of the test starts one in front of the hosts."""

    @contextlib.contextmanager
    def part(self, **of):
        """Names the part of a row in which an assertion fails, and with it the row."""
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f"{of}: {error}") from error

    def start(self, *options, **proxy_options):
        self.present = self.hosts(*options)
        return self.present, self.proxy(self.present, **proxy_options)

    def share_of(self, proxy, host, requests, clients):
        """Of the requests that were answered, how many times its fair share a host got."""
        before = {each: each.served for each in self.present}
        proxy.load(requests, clients=clients)
        served = {each: each.served - before[each] for each in self.present}
        return served[host] / (sum(served.values()) / len(self.present))

    def assert_share(self, row, what, bound, odd, requests, clients):
        """
        The first of three hosts gets no more than so many times its fair share, in the mean of some new
        proxies. One run says little: of equal hosts that are mostly idle, the one that chance made the
        fastest by a hundredth gets all, until chance makes it slower.
        """
        shares = []
        for _ in range(5):
            [host, *_], proxy = self.start(odd, *[{"delay_s": GOOD_S}] * 2)
            shares.append(self.share_of(proxy, host, requests, clients))
            self.assert_settled(proxy)
            proxy.stop()
        share, error = interval(shares)
        figure(row, what, f"{share:.2f} ± {error:.2f} of its share", bound)
        self.assertLess(share - error, bound, shares)

    @again
    def test_row_2_answers_without_work_attract_nobody(self):
        quick = {"status": 404, "delay_s": 0.004}
        for clients, requests in ((1, 60), (4, 120), (8, 160), (32, 320)):
            with self.part(clients=clients):
                self.assert_share(2, f"a host that answers 404, {clients} clients", 1.1, quick, requests, clients)

    @again
    def test_row_3_a_host_that_breaks_every_stream_is_avoided(self):
        event = (0.0, b"data: a\n\n")
        breaking = {"stream": [event], "cut_short": True}
        [breaks, *_], proxy = self.start(breaking, *[{"delay_s": GOOD_S}] * 2)
        answers = proxy.load(200)
        figure(3, "requests of 200 to a host that breaks every stream", breaks.served, 20)
        self.assertLess(breaks.served, 20)
        self.assertGreater(sum(answered(answers).values()), 180, answers)

    @again
    def test_row_10_one_long_exchange_does_not_shut_a_host_out(self):
        hosts, proxy = self.start(*[{"delay_s": GOOD_S}] * 3)
        proxy.load(120, clients=4)
        held = self.hold(proxy, 4)
        [host] = [each for each in hosts if proxy.status()[0][each.address]["in_flight"]]
        until(lambda: proxy.status()[0][host.address]["in_flight"] == 0, "the long exchange does not end", 20)
        held.close()
        self.gets_its_share(10, "after an exchange of 4 s", proxy, host)

    def hold(self, proxy, delay_s, headers=""):
        """A request that is answered so late."""
        client = socket.create_connection(("127.0.0.1", proxy.port), timeout=60)
        self.addCleanup(client.close)
        before = sum(host["in_flight"] for host in proxy.status()[0].values())
        client.sendall(f"GET / HTTP/1.1\r\nhost: x\r\nx-delay: {delay_s}\r\n{headers}\r\n".encode())
        until(lambda: sum(host["in_flight"] for host in proxy.status()[0].values()) > before, "no request is held")
        return client

    def gets_its_share(self, row, what, proxy, host, rate_per_s=20, within_s=120):
        """Tried again within 30 s, and soon after with four fifths of its share, as hosts in good order are."""
        begin = time.monotonic()
        served = host.served
        load = Load(proxy.port, clients=8, rate_per_s=rate_per_s).start()
        try:
            until(lambda: host.served > served, f"not tried again: {proxy.status()}", 40)
            tried_s = time.monotonic() - begin
            share = 0.0
            while share < 0.8:
                self.assertLess(time.monotonic() - begin, within_s, f"{share:.2f} of its share: {proxy.status()}")
                before = {each: each.served for each in self.present}
                time.sleep(8)
                window = {each: each.served - before[each] for each in self.present}
                share = window[host] / (sum(window.values()) / len(self.present))
            share_s = time.monotonic() - begin
        finally:
            answers = load.stop()
        figure(row, what, f"tried after {tried_s:.1f} s, {share:.2f} of its share after {share_s:.0f} s",
               f"30 s, 0.80 within {within_s} s")
        # What a busy machine adds to thirty seconds.
        self.assertLess(tried_s, 33)
        self.assert_all_answered(answers)


class Hosts(Answers):
    """Rows about hosts and clients, in whatever way responses are read."""

    @again
    def test_row_1_a_host_that_was_slow_gets_requests_again(self):
        for reports in (False, True):
            with self.part(reports=reports):
                hosts, proxy = self.start(*[{"delay_s": GOOD_S}] * 4, telemetry=reports)
                load = Load(proxy.port, clients=8, rate_per_s=20).start()
                time.sleep(4)
                slow = hosts[0]
                stop = threading.Event()
                if reports:
                    # An engine says of an idle host what it said when it was last at work.
                    reporter = threading.Thread(target=self.repeat_reports, args=(proxy, slow, stop))
                    reporter.start()
                slow.delay_s = 20 * GOOD_S
                time.sleep(6)
                slow.delay_s = GOOD_S
                self.assert_all_answered(load.stop())
                try:
                    what = f"20 times slow for 6 s, {'with' if reports else 'without'} reports of the old step"
                    self.gets_its_share(1, what, proxy, slow)
                finally:
                    stop.set()
                    if reports:
                        reporter.join()
                proxy.stop()

    def repeat_reports(self, proxy, host, stop):
        while not stop.wait(0.5):
            write_telemetry(f"{proxy.folder}/llm.tel", host.address, running=0, waiting=0, step_s=0.4)

    @again
    def test_row_1b_the_first_minutes_are_no_worse_than_least_request(self):
        for reports in (False, True):
            with self.part(reports=reports):
                pairs = [pair for fresh in range(3) for pair in self.first_bursts(reports, 4)]
                ratio, low, high = ratio_of_means(pairs)
                first, *_ = ratio_of_means(pairs[::4])
                with_reports = "with" if reports else "without"
                figure("1b", f"mean of bursts of 30 {with_reports} reports, times that of the proxy's own least request",
                       f"{ratio:.2f} [{low:.2f}, {high:.2f}], the first bursts {first:.2f}", "1.00 within the interval")
                self.assertLess(low, 1.0)

    def first_bursts(self, reports, count):
        """Mean seconds of the first bursts through new proxies: (the policy, least request), hosts of three speeds."""
        proxies = []
        for own in (False, True):
            hosts = self.hosts(*[{"service": Batch(speed), "reports_step": reports} for speed in (1.0, 1.6, 2.5)])
            proxies.append(self.proxy(hosts, least_request=own))
        body = b'{"model": "m", "prompt": "%s"}' % (b"word " * 60)
        pairs = []
        for burst in range(count):
            means_s = {}
            for proxy in random.sample(proxies, 2):
                load = Load(proxy.port, clients=30, body=body, headers=[("content-type", "application/json")])
                self.assert_all_answered(load.start(30).finish(), 30)
                means_s[proxy] = statistics.mean(load.times_s)
            pairs.append(tuple(means_s[proxy] for proxy in proxies))
        for proxy in proxies:
            proxy.stop()
        return pairs

    @again
    def test_row_6_claims_of_one_client_leave_the_others_where_they_were(self):
        hosts, proxy = self.start(*[{"delay_s": GOOD_S}] * 4, tokens="x-prompt-tokens")
        shares = {60: [], (1 << 31) - 1: []}
        for _ in range(5):
            for claim, found in shares.items():
                held = [self.hold(proxy, 60, f"x-prompt-tokens: {claim}\r\n") for _ in range(2)]
                busy = [host for host in hosts if proxy.status()[0][host.address]["in_flight"]]
                before = sum(host.served for host in busy)
                proxy.load(160, clients=4, headers=[("x-prompt-tokens", "60")])
                found.append((sum(host.served for host in busy) - before) / 160)
                for client in held:
                    client.close()
                self.assert_settled(proxy)
        honest, claimed = shares.values()
        moved, error = interval([with_claim - without for with_claim, without in zip(claimed, honest)])
        figure(6, "of all requests, more at the hosts of two held ones when those claim 2^31 - 1 tokens",
               f"{moved:.2f} ± {error:.2f}", "a tenth less")
        self.assertGreater(moved + error, -0.1, shares)
        self.assertGreater(moved, -0.3, shares)

    @again
    def test_row_7_a_report_is_bounded_by_what_was_measured(self):
        for step_s in (0, 1e-6, 1e-3):
            with self.part(step_s=step_s):
                liar = llm(step_s, delay_s=GOOD_S)
                self.assert_share(7, f"a host that reports a step of {step_s} s", 1.5, liar, 120, 4)

    @again
    def test_row_11_a_report_from_the_future_locks_nobody_out(self):
        hosts, proxy = self.start(*[{"delay_s": GOOD_S}] * 3, telemetry=True)
        path, host = f"{proxy.folder}/llm.tel", hosts[0]
        busy = {"running": 64, "waiting": 200, "kv_use": 0.99}
        write_telemetry(path, host.address, **busy, age_s=-3600)
        # Long enough for the file to be read.
        time.sleep(1.5)
        share = self.share_of(proxy, host, 300, 4)
        figure(11, "share of a host whose report is an hour ahead", f"{share:.2f}", "0.50 at least")
        self.assertGreater(share, 0.5)
        write_telemetry(path, host.address, running=3, waiting=0)
        until(lambda: self.running(proxy, host) == 3, lambda: f"a true report is not taken: {proxy.status()}")


def ratio_of_means(pairs):
    """Ratio of the means of pairs, and its 95 % interval by bootstrap over them."""
    def ratio(of):
        return sum(first for first, _ in of) / sum(second for _, second in of)

    drawn = random.Random(1)
    ratios = sorted(ratio(drawn.choices(pairs, k=len(pairs))) for _ in range(1000))
    return ratio(pairs), ratios[25], ratios[974]
