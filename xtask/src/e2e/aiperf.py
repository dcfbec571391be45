"""Has NVIDIA's aiperf replay windows of a Mooncake trace through each proxy, and prints ratios.

A witness for the project's own replayer: other prompts, another schedule, another clock. Each repeat
takes another window of the trace's last quarter; each proxy gets it with prompts of its own, so that no
cache has anything of them.
"""

import argparse
import gzip
import json
import math
import pathlib
import random
import statistics
import subprocess
import sys

FIGURES = {
    "mean": ("request_latency", "avg"),
    "p99": ("request_latency", "p99"),
    "TTFT, mean": ("time_to_first_token", "avg"),
}

# Two-sided 95 % points of Student's distribution, by degrees of freedom.
STUDENT = [math.nan, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23]


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("proxies", "trace", "tokenizer", "folder"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--rate-per-s", type=float, required=True)
    for name in ("requests", "repeats"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser.parse_args()


def read(trace):
    opened = gzip.open(trace, "rt") if trace.suffix == ".gz" else open(trace, encoding="utf-8")
    with opened as lines:
        requests = [json.loads(line) for line in lines if line.strip()]
    return requests[len(requests) * 3 // 4:]


def window(requests, count, rate_per_s, seed, path):
    """Writes a window at a rate. The first row is sent at once, whatever its time."""
    begin = random.Random(seed).randrange(max(1, len(requests) - count + 1))
    rows = requests[begin:begin + count]
    first_ms, last_ms = rows[0]["timestamp"], rows[-1]["timestamp"]
    scale = 1e3 * (len(rows) - 1) / rate_per_s / max(1, last_ms - first_ms)
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            row = dict(row, timestamp=round((row["timestamp"] - first_ms) * scale))
            file.write(json.dumps(row) + "\n")


def measure(options, proxy, rows, seed, folder):
    aiperf = pathlib.Path(sys.executable).with_name("aiperf")
    command = [
        str(aiperf), "profile", "--ui", "none", "--model", options.model_name, "--tokenizer", str(options.tokenizer),
        "--url", f"http://{proxy['authority']}", "--endpoint-type", "completions", "--streaming",
        "--custom-dataset-type", "mooncake_trace", "--input-file", str(rows), "--fixed-schedule",
        "--extra-inputs", "ignore_eos:true", "--random-seed", str(seed), "--artifact-dir", str(folder),
    ]
    with open(folder.with_suffix(".log"), "w", encoding="utf-8") as log:
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    results = json.loads((folder / "profile_export_aiperf.json").read_text(encoding="utf-8"))
    figures = {}
    for title, (metric, statistic) in FIGURES.items():
        value, unit = results[metric][statistic], results[metric]["unit"]
        figures[title] = value * {"ms": 1e-3, "s": 1.0}[unit]
    return figures


def ratio(own, rival):
    """Geometric mean of the repeats' ratios and its interval."""
    logs = [math.log(ours / theirs) for ours, theirs in zip(own, rival)]
    mean = statistics.mean(logs)
    if len(logs) < 2:
        return f"{math.exp(mean):.2f}"
    half = STUDENT[min(len(logs) - 1, len(STUDENT) - 1)] * statistics.stdev(logs) / math.sqrt(len(logs))
    return f"{math.exp(mean):.2f} ({math.exp(mean - half):.2f}–{math.exp(mean + half):.2f})"


def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    proxies = json.loads(options.proxies.read_text(encoding="utf-8"))
    requests = read(options.trace)
    found = {proxy["name"]: [] for proxy in proxies}
    for repeat in range(1, options.repeats + 1):
        rows = options.folder / f"window{repeat}.jsonl"
        window(requests, options.requests, options.rate_per_s, repeat, rows)
        for place, proxy in random.Random(repeat).sample(list(enumerate(proxies)), len(proxies)):
            seed = repeat * len(proxies) + place
            figures = measure(options, proxy, rows, seed, options.folder / f"run{seed}")
            found[proxy["name"]].append(figures)
            print(f"{proxy['name']}, window {repeat}: " +
                  ", ".join(f"{title} {value:.3f} s" for title, value in figures.items()), flush=True)
    is_ours = {proxy["name"]: proxy["simulated_as"] == "evenkeel" for proxy in proxies}
    for own in (name for name in found if is_ours[name]):
        for rival in (name for name in found if not is_ours[name]):
            ratios = [
                f"{title} {ratio([run[title] for run in found[own]], [run[title] for run in found[rival]])}"
                for title in FIGURES
            ]
            print(f"{own} over {rival}: " + ", ".join(ratios))


if __name__ == "__main__":
    main()
