"""A real NGINX with the module, in a folder of its own, all on the loopback."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile

from free_port import free_port
from proxy import Proxy
from waiting import PATIENCE, until

MODULE = os.environ["EVENKEEL_NGINX_MODULE"]
ARTIFACT = os.environ["EVENKEEL_ARTIFACT"]
SYSTEM_NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
# NGINX itself takes a variable of that name for sockets to inherit.
NGINX = os.environ.pop("NGINX", SYSTEM_NGINX)
# What runs NGINX, such as valgrind.
WRAPPER = shlex.split(os.environ.get("EVENKEEL_NGINX_WRAPPER", ""))


def version():
    """That of the NGINX under test, as three numbers."""
    said = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr
    return tuple(map(int, re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said).groups()))


class Nginx(Proxy):
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
