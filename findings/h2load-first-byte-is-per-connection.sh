#!/usr/bin/env bash
# h2load's "time to 1st byte" is that of each connection's first answer only
#
# Versions   h2load 1.52.0 (nghttp2-client, Debian 12)
# Guess      Beside "time for request" it is a figure per request, the time to first token of a
#            streaming service.
# Behaviour  It is taken once per connection, from the start of connecting to the first byte of the
#            first answer. Here that answer is immediate and nine others take 0.2 s to their first
#            byte: the maximum of "time to 1st byte" is a millisecond.
# Seen                          min        max       mean
#            request        0.31 ms  206.68 ms  181.18 ms
#            1st byte       0.80 ms    0.80 ms    0.80 ms
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

for tool in python3 apt-get dpkg-deb; do
    command -v "$tool" > /dev/null || { echo "missing: $tool" >&2; exit 2; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p lists/partial cache/archives/partial
apt=(apt-get -qq -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
timeout 200 "${apt[@]}" update &&
    timeout 200 "${apt[@]}" download 'nghttp2-client=1.52.0-*' libnghttp2-14 libev4 libjemalloc2 ||
    { echo "could not fetch the packages" >&2; exit 2; }
for package in *.deb; do dpkg-deb --extract "$package" root; done

timeout 60 python3 - "$work/root/usr" <<'PYTHON'
import glob
import http.server
import os
import re
import subprocess
import sys
import threading
import time

REQUESTS, DELAY_S = 10, 0.2
served = 0


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global served
        served += 1
        time.sleep(0 if served == 1 else DELAY_S)
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()

root = sys.argv[1]
libraries = os.path.dirname(glob.glob(f"{root}/lib/*/libnghttp2.so.14")[0])
address = f"http://127.0.0.1:{server.server_port}/"
output = subprocess.run(
    [f"{root}/bin/h2load", "--h1", "--clients", "1", "--requests", str(REQUESTS), address],
    env={**os.environ, "LD_LIBRARY_PATH": libraries}, capture_output=True, text=True, check=True, timeout=40,
).stdout


def row(title):
    """Least, greatest and mean of a row of the summary, in ms."""
    fields = re.search(rf"^{title}:(.*)$", output, re.MULTILINE)[1].split()[:3]
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    return [float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(us|ms|s)", " ".join(fields))]


request, first = row("time for request"), row("time to 1st byte")
print("                   min        max       mean")
for name, figures in (("request", request), ("1st byte", first)):
    print(f"{name:<10}" + "".join(f"{figure:9.2f} ms" for figure in figures))
if served != REQUESTS or request[1] < 1e3 * DELAY_S or first[1] > 500 * DELAY_S:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
