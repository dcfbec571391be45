#!/usr/bin/env bash
# SGLang's router rewrites chat bodies: fields that it does not know vanish, others appear
#
# Versions   sglang-router 0.3.2, from PyPI
# Guess      A router reads the model and the prompt, and passes the body on as it came, the more so as
#            engines add fields of their own ("priority" in vLLM, vendor extensions).
# Behaviour  /v1/chat/completions is parsed into a fixed structure and written anew. Fields outside of
#            it are gone without a word, "priority" among them; nine that the client did not send
#            are added, and an engine that refuses unknown fields refuses the request.
#            /v1/completions of the same router keeps unknown fields, so that "priority" works
#            there and not here.
# Seen       /v1/chat/completions   lost: priority, x_vendor
#                                   added: continue_final_message, ignore_eos, logprobs, no_stop_trim, …
#            /v1/completions        lost: nothing
#                                   added: echo, ignore_eos, no_stop_trim, return_hidden_states, …
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
import urllib.request

bodies = []


class Engine(http.server.BaseHTTPRequestHandler):
    """An engine that keeps the bodies it is sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({})

    def do_POST(self):
        bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.answer({"id": "1", "object": "x", "created": 1, "model": "m", "choices": []})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
threading.Thread(target=engine.serve_forever, daemon=True).start()
port = free_port()
router = subprocess.Popen(
    [sys.executable, "-m", "sglang_router.launch_router", "--host", "127.0.0.1", "--port", str(port),
     "--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()), "--policy", "round_robin",
     "--worker-startup-check-interval", "1", "--worker-urls", f"http://127.0.0.1:{engine.server_port}"],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)


def send(path, body):
    """Sends a body through the router; returns what the engine was sent."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    bodies.clear()
    urllib.request.urlopen(request, timeout=10).close()
    return bodies[-1]


def until_it_answers(path, body, deadline_s):
    while True:
        try:
            return send(path, body)
        except OSError as error:
            if time.monotonic() > deadline_s or router.poll() is not None:
                print(f"the router did not answer: {error}", file=sys.stderr)
                sys.exit(2)
            time.sleep(0.3)


def compare(path, body):
    """The names of fields lost, and of fields added."""
    received = until_it_answers(path, body, time.monotonic() + 40)
    lost, added = sorted(body.keys() - received.keys()), sorted(received.keys() - body.keys())
    print(f"{path:<22} lost: {', '.join(lost) or 'nothing'}\n{'':<22} added: {', '.join(added) or 'nothing'}")
    return lost, added


try:
    extra = {"model": "m", "priority": 5, "x_vendor": 1}
    chat = compare("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], **extra})
    plain = compare("/v1/completions", {"prompt": "hi", **extra})
finally:
    router.terminate()
    router.wait(timeout=20)
if chat[0] != ["priority", "x_vendor"] or len(chat[1]) < 8 or plain[0]:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
