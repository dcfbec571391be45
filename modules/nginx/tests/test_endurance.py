"""Under load while things die: what is lost, and whether the books balance afterwards."""

import os
import re
import signal
import subprocess
import tempfile
import threading
import unittest

from case import Case
from free_port import free_port
from harness import SYSTEM_NGINX
from waiting import until

REQUESTS = 100_000


class Backend:
    """A host that answers at once: an NGINX of one process, quick enough to be no bottleneck."""

    def __init__(self, address="127.0.0.1:"):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="evenkeel-backend-")
        with open(f"{self.folder.name}/nginx.conf", "w", encoding="utf-8") as file:
            file.write(f"""
daemon off; master_process off; pid {self.folder.name}/pid; error_log /dev/null;
events {{ worker_connections 512; }}
http {{
    access_log off; keepalive_requests 1000000;
    client_body_temp_path {self.folder.name}; proxy_temp_path {self.folder.name};
    fastcgi_temp_path {self.folder.name}; uwsgi_temp_path {self.folder.name}; scgi_temp_path {self.folder.name};
    server {{ listen {address}{self.port}; location / {{ return 200 "ok"; }} }}
}}
""")
        self.process = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        command = [SYSTEM_NGINX, "-p", self.folder.name, "-c", f"{self.folder.name}/nginx.conf"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.kill()
        self.folder.cleanup()


def wrk(port, seconds):
    """Loads from 16 clients, which connect again, and returns how many requests went well and badly."""
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    total = int(re.search(r"(\d+) requests in", said).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    lost = (int(bad.group(1)) if bad else 0) + sum(map(int, sockets.groups()) if sockets else ())
    return total - lost, lost


class Endurance(Case):
    def backends(self, count):
        backends = [Backend() for _ in range(count)]
        for backend in backends:
            self.addCleanup(backend.stop)
        return backends

    def lost(self, first):
        """Requests lost while one of three hosts is killed and restarted every second."""
        backends = self.backends(3)
        # A failure does not take a host out for ten seconds: three would, and leave none.
        servers = [f"server {backend.address} max_fails=0;" for backend in backends]
        nginx = self.nginx(servers, first=first, last="keepalive 32;", workers=2, is_logged=False).start()
        done = threading.Event()

        def kill_in_turn():
            turn = 0
            while not done.wait(0.5):
                backend = backends[turn % len(backends)]
                backend.kill()
                done.wait(0.5)
                backend.start()
                turn += 1

        killer = threading.Thread(target=kill_in_turn)
        killer.start()
        try:
            answered, lost = 0, 0
            while answered < REQUESTS:
                more_answered, more_lost = wrk(nginx.port, 4)
                answered, lost = answered + more_answered, lost + more_lost
        finally:
            done.set()
            killer.join()
        return lost, nginx

    def test_no_request_is_lost_that_least_conn_would_have_answered(self):
        by_least_conn, _ = self.lost("least_conn;")
        by_evenkeel, nginx = self.lost(self.first)
        self.assertLessEqual(by_evenkeel, by_least_conn)
        self.assert_settled(nginx)

    def test_the_books_balance_after_reloads_and_killed_workers(self):
        backends = self.backends(3)
        nginx = self.nginx(backends, first=self.first, last="keepalive 32;", workers=2, is_logged=False).start()
        said = []
        load = threading.Thread(target=lambda: said.append(wrk(nginx.port, 12)))
        load.start()
        for turn in range(20):
            self.assertNotIn("[emerg]", nginx.reload())
            if turn % 4 == 3:
                victim = max(nginx.worker_pids())
                os.kill(victim, signal.SIGKILL)
                until(lambda: victim not in nginx.worker_pids(), "the worker does not die")
        load.join()
        answered, lost = said[0]
        # A killed worker takes its connections with it, and one that shuts down may close a
        # connection which a client is just about to use: at most all 16 at each turn.
        self.assertLessEqual(lost, 25 * 16)
        self.assertGreater(answered, REQUESTS // 10)
        until(lambda: len(nginx.worker_pids()) == 2, "old workers stay", seconds=30)
        self.assert_settled(nginx)


if __name__ == "__main__":
    unittest.main(verbosity=2)
