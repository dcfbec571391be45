"""What the module costs: worker time per request against NGINX's own rules, interleaved.

Each round runs every rule once, in an order of its own, so that what else the machine does
falls on all of them. Backends answer at once from an NGINX of their own.
"""

import os
import random
import re
import statistics
import subprocess
import time

from harness import ARTIFACT, Nginx, version
from test_endurance import Backend

ROUNDS, SECONDS = 8, 2
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
RULES = {
    "round robin": "",
    "least_conn": "least_conn;",
    "random two": "random two least_conn;",
    # In the open-source NGINX since 1.31.0.
    **({"least_time": "least_time header;"} if version() >= (1, 31, 0) else {}),
    "evenkeel": f"evenkeel {ARTIFACT};",
}


def worker_s(nginx):
    """Processor time of the worker so far, user and system, in seconds."""
    with open(f"/proc/{nginx.worker_pids()[0]}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def load(nginx):
    """Requests answered in some seconds of load."""
    command = ["wrk", "-t1", "-c16", f"-d{SECONDS}s", f"http://127.0.0.1:{nginx.port}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return int(re.search(r"(\d+) requests in", said).group(1))


def compare(backends, hosts):
    """Microseconds of worker time per request, of each rule in each round."""
    # As many hosts as asked for, on the addresses of the loopback network.
    ports = [backend.port for backend in backends]
    servers = "\n".join(f"server 127.0.{1 + i // 250}.{1 + i % 250}:{ports[i % len(ports)]};" for i in range(hosts))
    proxies = {
        rule: Nginx(f"{directive} {servers} keepalive 128;", is_logged=False).start()
        for rule, directive in RULES.items()
    }
    times_us = {rule: [] for rule in RULES}
    try:
        for nginx in proxies.values():
            load(nginx)
        for _ in range(ROUNDS):
            for rule in random.sample(list(RULES), len(RULES)):
                before_s = worker_s(proxies[rule])
                requests = load(proxies[rule])
                times_us[rule].append((worker_s(proxies[rule]) - before_s) / requests * 1e6)
        page = proxies["evenkeel"].get("/status")[1]
        p99_us = float(re.search(r'evenkeel_decide_p99_seconds\{upstream="llm"\} (\S+)', page).group(1)) * 1e6
    finally:
        for nginx in proxies.values():
            nginx.stop()
    return times_us, p99_us


def main():
    backends = [Backend(address="") for _ in range(2)]
    try:
        time.sleep(0.5)
        for hosts in (16, 64):
            times_us, p99_us = compare(backends, hosts)
            print(f"\n{hosts} hosts, one worker, {ROUNDS} rounds of {SECONDS} s, interleaved")
            print("rule          us/request   x round robin (median, range of the rounds)")
            for rule, values in times_us.items():
                ratios = [value / base for value, base in zip(values, times_us["round robin"])]
                print(
                    f"{rule:<12} {statistics.median(values):>10.2f}   "
                    f"{statistics.median(ratios):.3f}  ({min(ratios):.3f} to {max(ratios):.3f})"
                )
            print(f"decision time, 99 % below {p99_us:.2f} us")
    finally:
        for backend in backends:
            backend.stop()


if __name__ == "__main__":
    main()
