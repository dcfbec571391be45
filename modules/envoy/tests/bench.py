"""What the module costs Envoy: processor time of the worker thread per request.

One Envoy per policy, all with the same sixteen hosts, are asked in turn, in an order that
changes; the median of the rounds' ratios is what counts. `cargo xtask bench envoy`.
"""

import contextlib
import json
import os
import random
import statistics

from harness import Envoy, built_in
from hosts import Host
from load import Load

HOSTS = 16
ROUNDS = 40
REQUESTS = 1500


def worker_ns(pid):
    """Time on a processor, of the worker thread."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as file:
            if file.read().startswith("wrk:worker_0"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
                    return int(stat.read().split()[0])
    raise AssertionError("Envoy has no worker thread")


def interval(values):
    """Median, and the 95 % interval of it by bootstrap."""
    drawn = random.Random(1)
    medians = sorted(statistics.median(drawn.choices(values, k=len(values))) for _ in range(1000))
    return statistics.median(values), medians[25], medians[974]


def pin(process, cpus):
    """Keeps all threads of a process on some processors."""
    for task in os.listdir(f"/proc/{process}/task"):
        os.sched_setaffinity(int(task), cpus)


def main():
    # As a service that reports its load, so that the reports' cost is part of the figure.
    report = {"endpoint-load-metrics": "TEXT named_metrics.time_per_output_token_seconds=0.02"}
    hosts = [Host(delay_s=0.002, headers=report) for _ in range(HOSTS)]
    policies = {
        "round_robin": {"lb_policy": built_in("round_robin"), "log": False},
        "least_request": {"lb_policy": built_in("least_request"), "log": False},
        "evenkeel without feedback": {"log": False},
        # What the log costs by itself: the module looks for its cluster, and finds none.
        "round_robin with upstream_log": {"lb_policy": built_in("round_robin")},
        "least_request with upstream_log": {"lb_policy": built_in("least_request")},
        "evenkeel with upstream_log": {},
    }
    envoys = {name: Envoy(hosts, **options) for name, options in policies.items()}
    with contextlib.ExitStack() as ends:
        for envoy in envoys.values():
            ends.callback(envoy.stop)
            envoy.start()
        # Envoy's caches are its own: hosts and clients, which are not what is measured, run
        # on other processors.
        *others, last = sorted(os.sched_getaffinity(0))
        if others:
            pin(os.getpid(), others)
            for envoy in envoys.values():
                pin(envoy.process.pid, [last])
        measure(envoys)


def measure(envoys):
    for envoy in envoys.values():
        Load(envoy.port, clients=8).start(REQUESTS).finish()
    order = list(envoys)
    shuffle = random.Random(7)
    cost_us = {name: [] for name in envoys}
    for _ in range(ROUNDS):
        shuffle.shuffle(order)
        for name in order:
            pid = envoys[name].process.pid
            before = worker_ns(pid)
            answers = Load(envoys[name].port, clients=8).start(REQUESTS).finish()
            assert {status for status, _ in answers} == {200}, answers
            cost_us[name].append((worker_ns(pid) - before) / REQUESTS / 1e3)

    print(f"{ROUNDS} rounds of {REQUESTS} requests to {HOSTS} hosts, one worker; medians with 95 % intervals")
    print(f"{'policy':32} {'µs/request':>10}  {'× round_robin':>22}  {'× least_request':>22}")
    for name, values in cost_us.items():
        print(f"{name:32} {statistics.median(values):10.2f}  {ratio(values, cost_us['round_robin']):>22}"
              f"  {ratio(values, cost_us['least_request']):>22}")
    log = "with upstream_log"
    for base in ("round_robin", "least_request"):
        print(f"evenkeel {log} × {base} {log}: {ratio(cost_us[f'evenkeel {log}'], cost_us[f'{base} {log}'])}")
    for name, envoy in envoys.items():
        if name.startswith("evenkeel"):
            time_ns = json.loads(envoy.ask("/evenkeel")[1])["clusters"][0]["decision_ns"]
            print(f"{name}: decision p50 {time_ns['p50']} ns, p99 {time_ns['p99']} ns of {time_ns['count']}")


def ratio(values, base):
    middle, low, high = interval([a / b for a, b in zip(values, base)])
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
