#!/usr/bin/env bash
# SGLang's cache-aware router makes all its retries at the host that just failed
#
# Versions   sglang-router 0.3.2, from PyPI
# Guess      A request that a worker answered with 503 is tried again at another worker, the more so as
#            the other is idle and healthy; five retries (the default) are up to six attempts.
# Behaviour  Each attempt asks the policy anew, and the policy is not told which worker failed. The
#            prefix still matches best where it failed, so that all attempts go there, five in all
#            (the number counts attempts), and the client gets the 503. Only when ten failures have
#            opened the circuit, two requests later, is the idle worker used.
# Seen       request   attempts at the failing worker   at the idle one   answer
#            1                                      5                 0      503
#            2                                      5                 0      503
#            3                                      0                 1      200
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
timeout 300 "$work/python/bin/pip" install --quiet --disable-pip-version-check \
    sglang-router==0.3.2 || { echo "could not install the package" >&2; exit 2; }

cd "$work"
timeout 90 python/bin/python - <<'PYTHON'
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

attempts = []
failing = None


class Worker(http.server.BaseHTTPRequestHandler):
    """A worker that answers all requests, or refuses them while it is the failing one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        attempts.append(self.server.server_port)
        self.answer(503 if self.server.server_port == failing else 200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


workers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Worker) for _ in range(2)]
for worker in workers:
    threading.Thread(target=worker.serve_forever, daemon=True).start()
port = free_port()
router = subprocess.Popen(
    [sys.executable, "-m", "sglang_router.launch_router", "--host", "127.0.0.1", "--port", str(port),
     "--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()), "--policy", "cache_aware",
     "--worker-startup-check-interval", "1",
     "--worker-urls", *(f"http://127.0.0.1:{worker.server_port}" for worker in workers)],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
body = {"model": "m", "messages": [{"role": "user", "content": "one prefix for all of them " * 20}]}


def send():
    """Sends the request; returns the status, or None while the router starts."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    attempts.clear()
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


try:
    for _ in range(60):
        if send() == 200:
            break
        time.sleep(0.3)
    else:
        print("the router did not come up", file=sys.stderr)
        sys.exit(2)
    time.sleep(2)  # Both workers are registered by then.
    send()
    failing = attempts[-1]
    print("request   attempts at the failing worker   at the idle one   answer")
    found = []
    for number in (1, 2, 3):
        status = send()
        at_failing = attempts.count(failing)
        found.append((at_failing, len(attempts) - at_failing, status))
        print(f"{number:<8}{at_failing:>32}{len(attempts) - at_failing:>18}{status:>9}")
finally:
    router.terminate()
    router.wait(timeout=20)
if found != [(5, 0, 503), (5, 0, 503), (0, 1, 200)]:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
