"""Two llama.cpp servers, one three times as fast, behind NGINX: its own rules against the policy.

Requests arrive at random at 60 % of what both servers carry together. Each round runs every rule
once, with the same requests, in an order of its own.
"""

import json
import os
import random
import statistics
import threading
import time

import llama
from harness import ARTIFACT, Nginx

ROUNDS, REQUESTS, LOAD = 5, 200, 0.6
RULES = {
    "least_conn": ("least_conn;", ("", "")),
    "least_conn, true speeds as weights": ("least_conn;", (" weight=3", "")),
    "evenkeel": (f"evenkeel {ARTIFACT};", ("", "")),
}
if os.environ.get("EVENKEEL_TRAINED"):
    RULES["evenkeel, trained on its log"] = (f"evenkeel {os.environ['EVENKEEL_TRAINED']};", ("", ""))


def plan(seed):
    """Bodies, long and short as chats are."""
    choose = random.Random(seed)
    path, body = llama.FORMS["streamed completion"]
    for number in range(REQUESTS):
        words, tokens = int(choose.lognormvariate(3.3, 0.6)), int(choose.lognormvariate(4.0, 0.7))
        yield path, json.dumps(body(llama.prompt(max(2, min(words, 150)), f"{seed}-{number}"), max(2, min(tokens, 400))))


def replay(port, seed, rate_per_s):
    """Latencies and times to first byte, in seconds, of requests that arrive at this rate."""
    choose, lock, threads = random.Random(seed), threading.Lock(), []
    latencies_s, failed = [], 0

    def send(path, body):
        nonlocal failed
        begun = time.monotonic()
        status, _ = llama.ask(port, "POST", path, body, timeout_s=120)
        with lock:
            latencies_s.append(time.monotonic() - begun)
            failed += status != 200

    due = time.monotonic()
    for path, body in plan(seed):
        due += choose.expovariate(rate_per_s)
        time.sleep(max(0, due - time.monotonic()))
        threads.append(threading.Thread(target=send, args=(path, body)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert failed == 0, f"{failed} requests failed"
    return latencies_s


def capacity_per_s(port):
    """Requests a second that a server carries at four at a time."""
    requests = list(plan(1))[:60]
    lock = threading.Lock()

    def client():
        while True:
            with lock:
                if not requests:
                    return
                path, body = requests.pop()
            llama.ask(port, "POST", path, body, timeout_s=120)

    begun, count = time.monotonic(), len(requests)
    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return count / (time.monotonic() - begun)


def main():
    servers = [llama.LlamaServer("fast"), llama.LlamaServer("slow")]
    proxies = {}
    try:
        for server in servers:
            server.wait()
        capacities = [capacity_per_s(server.port) for server in servers]
        rate_per_s = LOAD * sum(capacities)
        print(f"capacities {capacities[0]:.1f} and {capacities[1]:.1f} requests/s, offered {rate_per_s:.1f}/s")
        for rule, (directive, weights) in RULES.items():
            lines = [f"server {server.address}{weight};" for server, weight in zip(servers, weights)]
            proxies[rule] = Nginx("\n".join([directive, *lines]), location="proxy_buffering off;").start()
        found = {rule: [] for rule in RULES}
        for round_number in range(ROUNDS):
            for rule in random.sample(list(RULES), len(RULES)):
                found[rule].append(replay(proxies[rule].port, round_number, rate_per_s))
        base = [statistics.mean(times) for times in found["least_conn"]]
        print(f"{'rule':36} mean s  p99 s   mean of least_conn's (by round)")
        for rule, rounds in found.items():
            every = sorted(time_s for times in rounds for time_s in times)
            ratios = [statistics.mean(times) / least for times, least in zip(rounds, base)]
            spread = " ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"{rule:36} {statistics.mean(every):6.3f} {every[int(0.99 * len(every))]:6.3f}   "
                  f"{statistics.mean(ratios):.3f}  ({spread})")
    finally:
        for nginx in proxies.values():
            nginx.stop()
        for server in servers:
            server.stop()


if __name__ == "__main__":
    main()
