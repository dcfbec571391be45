"""Envoy with the module under load, while hosts die, come and go, and artifacts are swapped.

Fails if a request is lost that a retry could have saved, if requests stay in flight, or if
memory grows. `cargo xtask soak --seconds N --rate REQUESTS_PER_S`.
"""

import argparse
import os
import sys
import time

from harness import ARTIFACT, RETRIES, Envoy
from hosts import Host
from load import Load
from waiting import until

# Half of the run warms up: allocators grow to what the load needs at once.
WARM_UP = 0.5
GROWTH_MAX = 0.03
GROWTH_MAX_KB = 4096


def memory_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--rate", type=float, default=1000, help="requests a second")
    options = parser.parse_args()

    with open(ARTIFACT, "rb") as file:
        good = file.read()
    hosts = [Host(delay_s=0.001) for _ in range(6)]
    envoy = Envoy(hosts, options={"slow_start": "2s"}, workers=2, route=RETRIES)
    envoy.options["artifact"] = f"{envoy.folder}/model.ekm"
    envoy.write(f"{envoy.folder}/envoy.json", envoy.configuration())

    def swap(content):
        with open(f"{envoy.folder}/model.new", "wb") as file:
            file.write(content)
        os.rename(f"{envoy.folder}/model.new", f"{envoy.folder}/model.ekm")

    swap(good)
    try:
        complaints = soak(envoy, hosts, swap, good, options)
    except AssertionError as error:
        complaints = [str(error)]
    finally:
        envoy.stop()
    print(f"soak failed: {'; '.join(complaints)}" if complaints else "soak passed")
    sys.exit(1 if complaints else 0)


def soak(envoy, hosts, swap, good, options):
    """What is wrong, in words; nothing is if all is well."""
    seconds = options.seconds
    envoy.start()
    load = Load(envoy.port, clients=16, rate_per_s=options.rate).start()
    samples = []
    begin = time.monotonic()
    second = 0
    while time.monotonic() - begin < seconds:
        second += 1
        if envoy.process.poll() is not None:
            return [f"Envoy ended with {envoy.process.returncode}: {envoy.said()[-4000:]}"]
        hosts[0].stop()
        time.sleep(0.5)
        hosts[0].start()
        if second % 5 == 0:
            envoy.set_hosts(hosts[: 3 + second // 5 % 4])
        if second % 10 == 0:
            swap(good[: len(good) // 2] if second % 20 else good)
        time.sleep(0.5)
        samples.append(memory_kb(envoy.process.pid))
        if second % 30 == 0:
            print(f"{second:5} s: {sum(load.answers.values())} requests, {samples[-1]} kB", flush=True)
    answers = load.stop()
    envoy.set_hosts(hosts)
    until(lambda: len(envoy.status()[0]) == len(hosts), "the hosts do not change")
    until(lambda: all(host["in_flight"] == 0 for host in envoy.status()[0].values()), "requests stay in flight", 40)

    requests = sum(answers.values())
    lost = {answer: count for answer, count in answers.items() if answer[0] != 200}
    warm = samples[int(len(samples) * WARM_UP) :]
    third = max(len(warm) // 3, 1)
    before, after = (sum(part) / len(part) for part in (warm[:third], warm[-third:]))
    artifact = envoy.artifact()
    print(f"{requests} requests in {seconds} s, {sum(lost.values())} lost")
    print(f"{artifact['swaps']} artifacts taken over, {artifact['refusals']} refused")
    print(f"memory: {before:.0f} kB after warming up, {after:.0f} kB at the end")
    complaints = [f"requests were lost: {lost}"] if lost else []
    if after > before * (1 + GROWTH_MAX) + GROWTH_MAX_KB:
        complaints.append("memory grows")
    return complaints


if __name__ == "__main__":
    main()
