"""A real NGINX with the module, and HTTP hosts behind it, all on the loopback."""

import collections
import http.client
import http.server
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from free_port import free_port

MODULE = os.environ["EVENKEEL_NGINX_MODULE"]
ARTIFACT = os.environ["EVENKEEL_ARTIFACT"]
SYSTEM_NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
# NGINX itself takes a variable of that name for sockets to inherit.
NGINX = os.environ.pop("NGINX", SYSTEM_NGINX)
# What runs NGINX, such as valgrind, and how many times longer things then take.
WRAPPER = shlex.split(os.environ.get("EVENKEEL_NGINX_WRAPPER", ""))
PATIENCE = 6 if WRAPPER else 1


def version():
    """That of the NGINX under test, as three numbers."""
    said = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr
    return tuple(map(int, re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said).groups()))


class Host:
    """An HTTP server whose delay, status and headers can be changed at any time."""

    def __init__(
        self, delay_s=0.0, body_delay_s=0.0, status=200, headers=(), address="127.0.0.1", port=None, metrics=""
    ):
        self.delay_s, self.body_delay_s, self.status, self.headers = delay_s, body_delay_s, status, dict(headers)
        self.listen, self.metrics = address, metrics
        self.port = port or free_port()
        self.served = 0
        self.busy = self.busiest = 0
        self.connections = 0
        self.lock = threading.Lock()
        self.server = None
        self.start()

    @property
    def address(self):
        return f"{self.listen}:{self.port}"

    def start(self):
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                with host.lock:
                    host.connections += 1

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if host.metrics and self.path == "/metrics":
                    return self.answer(200, {}, host.metrics.encode())
                with host.lock:
                    host.busy += 1
                    host.busiest = max(host.busiest, host.busy)
                time.sleep(host.delay_s)
                with host.lock:
                    host.served += 1
                    host.busy -= 1
                # What the client asks for stands for what would be generated.
                length = self.headers.get("X-Generate")
                told = {"X-Output-Tokens": length} if length else {}
                self.answer(host.status, {**host.headers, **told}, host.address.encode(), host.body_delay_s)

            def answer(self, status, headers, body, body_delay_s=0.0):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                time.sleep(body_delay_s)
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256
            def process_request(self, request, client_address):
                host.sockets.append(request)
                super().process_request(request, client_address)

            def handle_error(self, *_):
                pass  # a client that went away

        self.sockets = collections.deque(maxlen=4096)
        self.server = Server((self.listen, self.port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        """Refuses connections from now on, and resets those that are open."""
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        for open_socket in self.sockets:
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Nginx:
    """One NGINX in a folder of its own."""

    def __init__(self, upstream, workers=1, location="", http="", is_logged=True, passes=None):
        self.folder = tempfile.mkdtemp(prefix="evenkeel-nginx-")
        self.port = free_port()
        self.process = None
        self.workers, self.location, self.http = workers, location, http
        self.passes = passes or 'proxy_pass http://llm; proxy_http_version 1.1; proxy_set_header Connection "";'
        self.access_log = f"{self.folder}/access.json evenkeel" if is_logged else "off"
        self.module = MODULE
        self.write(upstream)

    def write_module(self, module=None):
        """The same configuration with another build of the module; without one, with the first."""
        self.module = module or MODULE
        self.write(self.upstream_block)

    def write(self, upstream):
        self.upstream_block = upstream
        with open(f"{self.folder}/nginx.conf", "w", encoding="utf-8") as file:
            file.write(f"""
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
worker_processes {self.workers};
pid {self.folder}/nginx.pid;
error_log {self.folder}/error.log info;
load_module {self.module};
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi;
    scgi_temp_path {self.folder}/scgi;
    log_format evenkeel escape=json
        '{{"msec":$msec,"request_time":$request_time,"status":$status,'
        '"upstream_addr":"$upstream_addr",'
        '"upstream_header_time":"$upstream_header_time",'
        '"upstream_response_time":"$upstream_response_time",'
        '"request_length":$request_length,"bytes_sent":$bytes_sent,'
        '"prompt_tokens":"$evenkeel_prompt_tokens",'
        '"expected_tokens":"$evenkeel_expected_tokens",'
        '"output_tokens":"$evenkeel_output_tokens",'
        '"cached_tokens":"$evenkeel_cached_tokens",'
        '"first_token_time":"$evenkeel_first_token_time",'
        '"host":"$evenkeel_host","score":"$evenkeel_score",'
        '"decide_ns":"$evenkeel_decide_ns","reason":"$evenkeel_reason",'
        '"tries":"$evenkeel_tries"}}';
    access_log {self.access_log};
    keepalive_requests 100000000;
    {self.http}
    upstream llm {{
        {upstream}
    }}
    server {{
        listen 127.0.0.1:{self.port};
        location / {{
            {self.passes}
            {self.location}
        }}
        location /status {{ evenkeel_status; access_log off; }}
    }}
}}
""")

    def test(self):
        """What `nginx -t` says, and whether it is content."""
        command = [*WRAPPER, NGINX, "-t", "-p", self.folder, "-c", f"{self.folder}/nginx.conf"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20 * PATIENCE)
        return result.returncode == 0, result.stderr

    def start(self):
        command = [*WRAPPER, NGINX, "-p", self.folder, "-c", f"{self.folder}/nginx.conf"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        # It listens before it minds signals, and minds them before it has workers.
        until(lambda: self.listens() and self.worker_pids(), f"NGINX does not start: {self.errors()}")
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def reload(self):
        before = set(self.worker_pids())
        mark = len(self.errors())
        self.process.send_signal(signal.SIGHUP)

        def done():
            said = self.errors()[mark:]
            return "[emerg]" in said or set(self.worker_pids()) - before

        until(done, "the reload has no effect")
        return self.errors()[mark:]

    def worker_pids(self):
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
                return [int(pid) for pid in file.read().split()]
        except OSError:
            return []

    def errors(self):
        try:
            with open(f"{self.folder}/error.log", encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def connection(self, timeout_s=10 * PATIENCE):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)

    def get(self, path="/", timeout_s=10 * PATIENCE, body=None, headers=None):
        connection = self.connection(timeout_s)
        try:
            connection.request("POST" if body is not None else "GET", path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def load(self, requests, clients=8):
        """Sends requests from several clients at once; counts (status, answering host)."""
        answers = collections.Counter()
        remaining = iter(range(requests))
        lock = threading.Lock()

        def client():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * PATIENCE)
            while True:
                with lock:
                    if next(remaining, None) is None:
                        break
                try:
                    connection.request("GET", "/")
                    response = connection.getresponse()
                    answer = response.status, response.read().decode()
                except (OSError, http.client.HTTPException) as error:
                    connection.close()
                    answer = 0, repr(error)
                with lock:
                    answers[answer] += 1
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def upstream(self):
        """The status page in JSON."""
        return json.loads(self.get("/status?format=json")[1])["upstreams"][0]

    def status(self):
        """The hosts of the status page by their address, and the decisions."""
        upstream = self.upstream()
        return {host["host"]: host for host in upstream["hosts"]}, upstream["decisions"]

    def log(self, entries=1):
        """The access log, once it has that many entries: they are written after the answer."""
        until(lambda: len(self.log_now()) >= entries, "the log has fewer entries")
        return self.log_now()

    def log_now(self):
        with open(f"{self.folder}/access.json", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10 * PATIENCE)
            except subprocess.TimeoutExpired:
                pass
            # Workers outlive a master that was killed or crashed.
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def until(condition, complaint, seconds=10):
    end = time.monotonic() + seconds * PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(complaint)
        time.sleep(0.02)
