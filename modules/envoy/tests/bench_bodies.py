"""What reading bodies costs Envoy: processor time of the worker thread per request.

Prompts of 2 kB, and streams of 200 events that come at once or one by one, through the same
policy: without the filters, with `bodies: off`, with bodies. `cargo xtask bench envoy`.
"""

import contextlib
import json
import os
import random
import statistics

from bench import interval, pin, worker_ns
from harness import Envoy, module_filter, request_filter
from hosts import Host
from load import Load

ROUNDS = int(os.environ.get("EVENKEEL_BENCH_ROUNDS", "20"))
REQUESTS = 200
EVENTS = 200
PROMPT = json.dumps({"model": "m", "max_tokens": 200, "messages": [{"role": "user", "content": "a" * 2000}]}).encode()


def event(number):
    """One of vLLM's, of about 200 bytes."""
    choice = {"index": 0, "delta": {"content": f" word{number}"}, "logprobs": None, "finish_reason": None}
    chunk = {"id": "chatcmpl-0123456789abcdef0123456789abcdef", "object": "chat.completion.chunk", "created": 1764547200,
             "model": "m", "choices": [choice]}
    return b"data: %s\n\n" % json.dumps(chunk).encode()


def streams():
    pieces = [event(number) for number in range(EVENTS)] + [b"data: [DONE]\n\n"]
    return {
        "at once": [(0.0, b"".join(pieces))],
        "one by one": [(0.0005 * number, piece) for number, piece in enumerate(pieces)],
    }


def main():
    host = Host(headers={"content-type": "text/event-stream"})
    filters = {
        "no filters": {},
        "bodies off": {"filters": [request_filter({"bodies": False})],
                       "upstream_filters": [module_filter("response", {"bodies": False})]},
        "bodies on": {"filters": [request_filter({})], "upstream_filters": [module_filter("response", {})]},
    }
    envoys = {name: Envoy([host], **options) for name, options in filters.items()}
    with contextlib.ExitStack() as ends:
        ends.callback(host.stop)
        for envoy in envoys.values():
            ends.callback(envoy.stop)
            envoy.start()
        *others, last = sorted(os.sched_getaffinity(0))
        if others:
            pin(os.getpid(), others)
            for envoy in envoys.values():
                pin(envoy.process.pid, [last])
        for name, stream in streams().items():
            host.stream = stream
            measure(name, envoys)


def measure(name, envoys):
    shuffle, order = random.Random(7), list(envoys)
    cost_us = {envoy: [] for envoy in envoys}
    for round_number in range(ROUNDS + 1):
        shuffle.shuffle(order)
        for envoy in order:
            pid = envoys[envoy].process.pid
            before = worker_ns(pid)
            load = Load(envoys[envoy].port, clients=8, body=PROMPT, headers=[("content-type", "application/json")])
            answers = load.start(REQUESTS).finish()
            assert {status for status, _ in answers} == {200}, answers
            # The first round is for caches and connections.
            if round_number:
                cost_us[envoy].append((worker_ns(pid) - before) / REQUESTS / 1e3)
    print(f"{ROUNDS} rounds of {REQUESTS} streams of {EVENTS} events, {name}; medians with 95 % intervals")
    for envoy, values in cost_us.items():
        ratios = [value / base for value, base in zip(values, cost_us["bodies off"])]
        middle, low, high = interval(ratios)
        print(f"{envoy:12} {statistics.median(values):10.2f} µs/request  {middle:.3f} [{low:.3f}, {high:.3f}] × bodies off")


if __name__ == "__main__":
    main()
