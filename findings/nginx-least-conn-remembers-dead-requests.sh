#!/usr/bin/env bash
# After one killed worker, NGINX's least_conn leaves a healthy host unused until the next reload
#
# Versions   NGINX 1.22.1 (Debian 12)
# Guess      A worker that the kernel kills for its memory takes its connections with it; the master
#            starts another, and balancing goes on as before.
# Behaviour  The counts of connections per host live in the shared zone, and those of the dead worker's
#            requests are never taken back. The host with one more of them than the other looks
#            busier from then on: under light load it gets nothing at all. A reload clears the counts.
# Seen       100 requests in turn       host A   host B
#            before                         50       50
#            a worker was killed           100        0
#            after a reload                 50       50
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
timeout 200 "${apt[@]}" update && timeout 200 "${apt[@]}" download 'nginx=1.22.1-*' ||
    { echo "could not fetch the package" >&2; exit 2; }
dpkg-deb --extract nginx_*.deb root

timeout 60 python3 - <<'PYTHON'
import asyncio
import os
import signal
import socket
import subprocess
import sys

REQUESTS = 100
served = {}


async def host():
    """A host that answers at once, except on /slow; returns its port."""
    async def connection(reader, writer):
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                served[port] = served.get(port, 0) + 1
                if request.startswith(b"GET /slow"):
                    continue
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return port


async def get(path):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: hosts\r\nconnection: close\r\n\r\n".encode())
    try:
        await reader.read()
    finally:
        writer.close()


def workers():
    with open(f"/proc/{nginx.pid}/task/{nginx.pid}/children") as file:
        return [int(pid) for pid in file.read().split()]


async def renewed(old):
    """Waits until other workers than the old have taken over."""
    for _ in range(100):
        await asyncio.sleep(0.1)
        if workers() and not set(workers()) & set(old):
            return
    print("no new worker came up", file=sys.stderr)
    sys.exit(2)


async def shares(title):
    """Sends requests one after another; returns how many each host got."""
    served.clear()
    for _ in range(REQUESTS):
        await get("/")
    counts = [served.get(port, 0) for port in hosts]
    print(f"{title:<25}{counts[0]:>8}{counts[1]:>9}")
    return sorted(counts)


async def main():
    global hosts, proxy, nginx
    hosts = [await host(), await host()]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = listener.getsockname()[1]
    paths = "".join(f"{name}_temp_path {name}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    servers = "".join(f"server 127.0.0.1:{port}; " for port in hosts)
    with open("nginx.conf", "w") as file:
        file.write(
            "daemon off; worker_processes 1; pid nginx.pid; events {}\n"
            f"http {{ access_log off; {paths}\n"
            f"upstream hosts {{ zone hosts 64k; least_conn; {servers}}}\n"
            f"server {{ listen 127.0.0.1:{proxy}; location / {{ proxy_pass http://hosts; }} }} }}\n"
        )
    nginx = subprocess.Popen(["root/usr/sbin/nginx", "-p", os.getcwd(), "-c", "nginx.conf", "-e", "error.log"])
    slow = []
    try:
        await renewed([])
        print("100 requests in turn       host A   host B")
        before = await shares("before")
        served.clear()
        slow = [asyncio.create_task(get("/slow")) for _ in range(3)]
        while sum(served.values()) < len(slow):
            await asyncio.sleep(0.05)
        old = workers()
        os.kill(old[0], signal.SIGKILL)
        await renewed(old)
        killed = await shares("a worker was killed")
        old = workers()
        nginx.send_signal(signal.SIGHUP)
        await renewed(old)
        reloaded = await shares("after a reload")
    finally:
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        nginx.terminate()
        nginx.wait(timeout=20)
    even = [REQUESTS // 2] * 2
    if (before, killed, reloaded) != (even, [0, REQUESTS], even):
        sys.exit("changed: the behaviour is no longer as described")


asyncio.run(main())
PYTHON
