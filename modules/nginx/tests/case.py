"""What the test cases share."""

import collections
import os
import struct
import time
import unittest

from harness import ARTIFACT, Host, Nginx, until

MASK = (1 << 64) - 1


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


def host_key(address):
    """FNV-1a, as the runtime's telemetry file has it."""
    key = 0xCBF29CE484222325
    for byte in address.encode():
        key = ((key ^ byte) * 0x100000001B3) & MASK
    return key or 1


def telemetry_file(path, address, running, waiting, kv_use, age_s=0, slots=64):
    """A telemetry file with one host, written as docs/agent.md describes it."""
    magic = int.from_bytes(b"EVKTELEM", "little")
    now_us = time.monotonic_ns() // 1000
    pair = lambda low, high: int.from_bytes(struct.pack("<ff", low, high), "little")
    nan = float("nan")
    key = host_key(address)
    told = [key, now_us - age_s * 1_000_000, pair(running, waiting), pair(nan, kv_use), pair(nan, 0.0)]
    check = magic
    for word in told:
        check = ((check ^ word) * 0x9E3779B97F4A7C15) & MASK
        check = ((check << 31) | (check >> 33)) & MASK
    words = [0] * (16 + 8 * slots)
    words[:4] = [magic, 1 | slots << 32, now_us, 1]
    begin = 16 + 8 * (key % slots)
    words[begin : begin + 7] = [2, *told, check]
    with open(f"{path}.new", "wb") as file:
        file.write(struct.pack(f"<{len(words)}Q", *words))
    os.rename(f"{path}.new", path)


class Case(unittest.TestCase):
    first = f"evenkeel {ARTIFACT};"

    def hosts(self, *options):
        hosts = [Host(**option) for option in options]
        for host in hosts:
            self.addCleanup(host.stop)
        return hosts

    def nginx(self, servers, first=first, last="", **options):
        lines = [server if isinstance(server, str) else f"server {server.address};" for server in servers]
        nginx = Nginx("\n        ".join([first, *lines, last]), **options)
        self.addCleanup(nginx.stop)
        return nginx

    def assert_settled(self, nginx):
        """All requests have been counted out."""
        until(lambda: all(host["in_flight"] == 0 for host in nginx.status()[0].values()), "requests stay in flight")
        for host in nginx.status()[0].values():
            self.assertEqual(host["sent_total"], host["done_total"])
            self.assertEqual(host["in_flight_prompt_tokens"], 0)
