#!/usr/bin/env bash
# Prometheus' Python client renames counters that it reads from one page and writes to another
#
# Versions   prometheus-client 0.26.0, from PyPI
# Guess      Its parser and its writer are two directions of one format: a relay that reads an
#            engine's page and writes the families out again leaves all names as they were.
# Behaviour  A counter whose name does not end in _total gets that ending, samples and TYPE line alike,
#            without a warning. Triton's "nv_inference_count" and its kind come out under other
#            names, and every query, alert and scaler that asks for them gets no data rather than
#            an error. Gauges, and counters that end in _total, pass.
# Seen       read                        written
#            nv_inference_count          nv_inference_count_total
#            vllm:prompt_tokens_total    vllm:prompt_tokens_total
#            vllm:num_requests_running   vllm:num_requests_running
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
timeout 300 "$work/python/bin/pip" install --quiet --disable-pip-version-check \
    prometheus-client==0.26.0 || { echo "could not install the package" >&2; exit 2; }

timeout 60 "$work/python/bin/python" - <<'PYTHON'
import sys

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

PAGE = """\
# HELP nv_inference_count Inferences so far.
# TYPE nv_inference_count counter
nv_inference_count 7
# HELP vllm:prompt_tokens_total Prompt tokens so far.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total 11
# HELP vllm:num_requests_running Requests at work.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running 2
"""


class Relay:
    def collect(self):
        return text_string_to_metric_families(PAGE)


def names(page):
    return [line.split()[0] for line in page.splitlines() if not line.startswith("#")]


registry = CollectorRegistry()
registry.register(Relay())
read, written = names(PAGE), names(generate_latest(registry).decode())
print(f"{'read':<27} written")
for pair in zip(read, written, strict=True):
    print("{:<27} {}".format(*pair))
if written != ["nv_inference_count_total", *read[1:]]:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
