"""How an exchange ended, in every way that NGINX reads a response: what counts as what."""

import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from case import Case
from free_port import free_port
from load import answered
from rawhost import RawHost, fastcgi, grpc, memcached, reset, scgi, sse, uwsgi, web
from waiting import PATIENCE, until

OK = b"HTTP/1.1 200 OK\r\n"
SUCCESS, NO_WORK, FAILURE, TIMEOUT, ABORT = "success", "no_work", "failure", "timeout", "client_abort"


class Exchanges(Case):
    # How the location passes requests on, in the place of `proxy_pass`.
    passes = None
    http = ""

    def ended(self, answer, location="", request=None, headers=None):
        """How the module judges an exchange with a host that answers so."""
        host = RawHost(answer)
        self.addCleanup(host.stop)
        servers = [f"server {host.address} max_fails=0;"]
        nginx = self.nginx(servers, location=location, http=self.http, passes=self.passes).start()
        try:
            if request is None:
                nginx.get("/call", headers=headers)
            else:
                request(nginx)
        except (OSError, http.client.HTTPException):
            pass
        until(lambda: nginx.status()[0][host.address]["done_total"] == 1, "the exchange does not end")
        self.assert_settled(nginx)
        status, upstream = nginx.status()[0][host.address], nginx.upstream()
        nginx.stop()
        [ended] = [end for end, count in upstream["exchanges"].items() if count]
        self.assertEqual(status["failed_total"], int(ended in (FAILURE, TIMEOUT)))
        if ended == SUCCESS:
            self.assertGreater(status["latency_s"], 0)
            self.assertGreater(status["first_byte_s"], 0)
        elif ended == NO_WORK:
            self.assertFalse(status["latency_s"])
        return ended

    def expect(self, cases, locations=("",), **options):
        for location in locations:
            for name, (answer, expected) in cases.items():
                with self.subTest(name, location=location):
                    self.assertEqual(self.ended(answer, location, **options), expected)


class Http(Exchanges):
    locations = ("proxy_buffering on;", "proxy_buffering off;")

    def test_whole_and_broken_responses_buffered_and_not(self):
        length = OK + b"Content-Length: 10\r\n\r\n"
        self.expect(
            {
                "length, whole": (web(length, b"0123456789"), SUCCESS),
                "length, cut short": (web(length, b"01234"), FAILURE),
                "length, reset": (web(length, b"01234", ends="reset", wait_s=0.1), FAILURE),
                "chunks, whole": (web(*sse(b"data: a\n\n", b"data: b\n\n")), SUCCESS),
                "chunks, without the last": (web(*sse(b"data: a\n\n", whole=False)), FAILURE),
                "chunks, reset": (web(*sse(b"data: a\n\n", whole=False), ends="reset", wait_s=0.1), FAILURE),
                "chunks, malformed": (web(*sse(b"data: a\n\n", whole=False), b"xyz\r\n", ends="never"), FAILURE),
                "until the end": (web(OK + b"Connection: close\r\n\r\n", b"0123456789"), SUCCESS),
                "until the end, reset": (web(OK + b"\r\n", b"01234", ends="reset", wait_s=0.1), FAILURE),
                "header cut short": (web(b"HTTP/1.1 200"), FAILURE),
                "reset at once": (web(ends="reset"), FAILURE),
                "no header at all": (web(), FAILURE),
            },
            self.locations,
        )

    def test_answers_without_work_are_no_successes(self):
        def status(line, headers=b"Content-Length: 1\r\n", body=b"x"):
            return web(b"HTTP/1.1 " + line + b"\r\n" + headers + b"\r\n", body)

        self.expect(
            {
                "404": (status(b"404 Not Found"), NO_WORK),
                "400": (status(b"400 Bad Request"), NO_WORK),
                "302": (status(b"302 Found", b"Location: /x\r\nContent-Length: 1\r\n"), NO_WORK),
                "304": (status(b"304 Not Modified", b"", b""), NO_WORK),
                "204": (status(b"204 No Content", b"", b""), NO_WORK),
                "empty": (status(b"200 OK", b"Content-Length: 0\r\n", b""), NO_WORK),
                "empty chunks": (web(*sse()), NO_WORK),
                "429": (status(b"429 Too Many Requests"), FAILURE),
                "503": (status(b"503 Service Unavailable"), FAILURE),
                "404, cut short": (status(b"404 Not Found", b"Content-Length: 9\r\n"), FAILURE),
                "grpc-status 5 in a 200": (status(b"200 OK", b"grpc-status: 5\r\nContent-Length: 1\r\n"), NO_WORK),
                "sent elsewhere": (status(b"200 OK", b"X-Accel-Redirect: /status\r\nContent-Length: 1\r\n"), NO_WORK),
            },
            self.locations,
        )
        intercepted = "proxy_intercept_errors on; error_page 404 =200 /status;"
        self.expect({"404 intercepted": (status(b"404 Not Found"), NO_WORK)}, [intercepted])

    def test_head_is_no_work(self):
        def head(nginx):
            connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)
            connection.request("HEAD", "/")
            connection.getresponse().read()
            connection.close()

        self.expect({"HEAD": (web(OK + b"Content-Length: 10\r\n\r\n"), NO_WORK)}, self.locations, request=head)

    def test_timeouts_are_failures(self):
        silent = web(OK + b"Content-Length: 10\r\n\r\n", b"01234", ends="never")
        never = web(ends="never")
        self.expect(
            {"in the body": (silent, TIMEOUT), "before the header": (never, TIMEOUT)},
            [f"proxy_read_timeout 300ms; {location}" for location in self.locations],
        )

    def test_clients_that_leave_are_nobodys_failure(self):
        def leave(nginx):
            with socket.create_connection(("127.0.0.1", nginx.port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertTrue(client.recv(4096))

        def leave_with_reset(nginx):
            with socket.create_connection(("127.0.0.1", nginx.port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertTrue(client.recv(4096))
                reset(client)

        for name, request in (("end", leave), ("reset", leave_with_reset)):
            for location in (*self.locations, "proxy_ignore_client_abort on; proxy_buffering off;"):
                with self.subTest(name, location=location):
                    stream = web(*sse(*[b"data: x\n\n" * 100] * 30), wait_s=0.05)
                    self.assertEqual(self.ended(stream, location, request=request), ABORT)

    def test_a_host_that_breaks_when_the_client_is_gone_has_failed(self):
        def leave(nginx):
            with socket.create_connection(("127.0.0.1", nginx.port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                time.sleep(0.2)

        def late(connection):
            time.sleep(0.6)
            reset(connection)

        self.expect({"late reset": (late, FAILURE)}, ["proxy_ignore_client_abort on;"], request=leave)

    def test_tunnels_are_no_work_unless_they_are_reset(self):
        upgrade = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
        switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"

        def talk(nginx):
            with socket.create_connection(("127.0.0.1", nginx.port), 10) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
                client.settimeout(5)
                while client.recv(4096):
                    pass

        cases = {
            "ended": (web(switch, b"hello", wait_s=0.1), NO_WORK),
            "reset": (web(switch, b"hello", ends="reset", wait_s=0.1), FAILURE),
            "idle": (web(switch, b"hello", ends="never"), NO_WORK),
        }
        self.expect(cases, [f"proxy_read_timeout 1s; {upgrade}"], request=talk)

    def test_a_host_that_breaks_every_stream_is_avoided(self):
        for location in self.locations:
            with self.subTest(location):
                breaking = RawHost(web(*sse(b"data: a\n\n", whole=False)))
                self.addCleanup(breaking.stop)
                good = self.hosts({"delay_s": 0.02}, {"delay_s": 0.02})
                servers = [f"server {host.address} max_fails=0;" for host in (breaking, *good)]
                nginx = self.nginx(servers, location=location).start()
                answers = nginx.load(200)
                self.assertGreater(sum(answered(answers).values()), 180, answers)
                self.assertLess(breaking.served, 20)

    def test_a_host_that_refuses_at_once_gains_nothing(self):
        for line in (b"404 Not Found", b"302 Found", b"204 No Content"):
            with self.subTest(line):
                body = b"" if b"204" in line else b"Content-Length: 1\r\n"
                head = b"HTTP/1.1 " + line + b"\r\nConnection: close\r\n" + body + b"\r\n"
                refusing = RawHost(web(head, b"x" if body else b""))
                self.addCleanup(refusing.stop)
                good = self.hosts({"delay_s": 0.02}, {"delay_s": 0.02})
                nginx = self.nginx([refusing, *good]).start()
                nginx.load(200, clients=4)
                # One that gains by it gets nearly all; test_life.py holds the mean of several runs to a third.
                self.assertLess(refusing.served, 180)
                status = nginx.status()[0][refusing.address]
                self.assertEqual((status["failed_total"], status["latency_s"], status["first_byte_s"]), (0, None, None))


class Caches(Exchanges):
    """Where the host goes on for the cache's sake, and where the cache asks for what it has."""

    cache = "proxy_cache c; proxy_cache_valid 200 1s; proxy_cache_key $uri;"

    def nginx(self, *arguments, **options):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="evenkeel-cache-"))
        os.chmod(folder, 0o777)
        return super().nginx(*arguments, **{**options, "http": f"proxy_cache_path {folder} keys_zone=c:1m;"})

    def test_a_response_that_a_cache_takes_whole_is_a_success_without_its_client(self):
        def leave(nginx):
            with socket.create_connection(("127.0.0.1", nginx.port)) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertTrue(client.recv(4096))

        events = [b"data: x\n\n" * 100] * 10
        cases = {
            "whole": (web(*sse(*events), wait_s=0.05), SUCCESS),
            "broken off": (web(*sse(*events, whole=False), wait_s=0.05), FAILURE),
        }
        self.expect(cases, [self.cache], request=leave)

    def test_head_asks_for_the_body_that_the_cache_keeps(self):
        def head(nginx):
            connection = nginx.connection()
            connection.request("HEAD", "/")
            connection.getresponse().read()
            connection.close()

        length = OK + b"Content-Length: 10\r\n\r\n"
        cases = {"whole": (web(length, b"0123456789"), SUCCESS), "cut short": (web(length, b"01"), FAILURE)}
        self.expect(cases, [self.cache], request=head)

    def test_a_confirmation_is_no_work(self):
        answers = iter([OK + b"ETag: \"a\"\r\nContent-Length: 1\r\n\r\nx", b"HTTP/1.1 304 Not Modified\r\n\r\n"])
        host = RawHost(lambda connection: web(next(answers))(connection))
        self.addCleanup(host.stop)
        nginx = self.nginx([host], location=f"{self.cache} proxy_cache_revalidate on;").start()
        self.assertEqual(nginx.get()[1], "x")
        time.sleep(2.1)
        self.assertEqual(nginx.get()[1], "x")
        self.assertEqual(host.served, 2)
        ends = {end: count for end, count in nginx.upstream()["exchanges"].items() if count}
        self.assertEqual(ends, {SUCCESS: 1, NO_WORK: 1})


@unittest.skipUnless(shutil.which("curl"), "curl is missing")
class Http2(Case):
    def test_a_stream_that_the_client_resets_is_nobodys_failure(self):
        for location in Http.locations:
            with self.subTest(location):
                host = RawHost(web(*sse(*[b"data: x\n\n" * 100] * 30), wait_s=0.05))
                self.addCleanup(host.stop)
                port = free_port()
                server = f"server {{ listen 127.0.0.1:{port} http2; location / {{ proxy_pass http://llm; {location} }} }}"
                nginx = self.nginx([host], http=server).start()
                curl = ["curl", "--silent", "--http2-prior-knowledge", "--max-time", "0.5", f"http://127.0.0.1:{port}/"]
                subprocess.run(curl, capture_output=True, check=False, timeout=20)
                until(lambda: nginx.upstream()["exchanges"][ABORT] == 1, f"{nginx.upstream()['exchanges']}")
                self.assert_settled(nginx)


class FirstToken(Case):
    def test_the_first_token_of_a_stream_counts_and_not_its_header(self):
        wait_s = 0.4 * PATIENCE
        for location in Http.locations:
            with self.subTest(location):
                host = RawHost(web(*sse(b"data: a\n\n", b"data: b\n\n"), wait_s=wait_s))
                self.addCleanup(host.stop)
                nginx = self.nginx([host], location=location).start()
                nginx.get()
                self.assert_settled(nginx)
                self.assertGreater(nginx.status()[0][host.address]["first_byte_s"], 0.9 * wait_s)
                [line] = nginx.log()
                self.assertLess(float(line["upstream_header_time"]), 0.5 * wait_s)
                self.assertGreater(float(line["first_token_time"]), 0.9 * wait_s)
                self.assertLess(float(line["first_token_time"]), 1.9 * wait_s)

    def test_a_response_without_a_body_has_no_first_token(self):
        host = RawHost(web(OK + b"Content-Length: 0\r\n\r\n"))
        self.addCleanup(host.stop)
        nginx = self.nginx([host]).start()
        nginx.get()
        self.assertEqual(nginx.log()[0]["first_token_time"], "")


class Grpc(Exchanges):
    passes = "grpc_pass grpc://llm;"

    def test_calls(self):
        self.expect(
            {
                "OK": (grpc(), SUCCESS),
                "NOT_FOUND in the trailers": (grpc("5"), NO_WORK),
                "NOT_FOUND in the header": (grpc("5", ends="header"), NO_WORK),
                "UNAVAILABLE": (grpc("14", ends="header"), FAILURE),
                "RESOURCE_EXHAUSTED": (grpc("8"), FAILURE),
                "DEADLINE_EXCEEDED": (grpc("4"), TIMEOUT),
                "OK without a message": (grpc(ends="header"), NO_WORK),
                "reset stream": (grpc(ends="reset"), FAILURE),
                "closed connection": (grpc(ends="close"), FAILURE),
            }
        )


class FastCgi(Exchanges):
    passes = "fastcgi_pass llm;"

    def test_requests_buffered_and_not(self):
        self.expect(
            {
                "whole": (fastcgi(b"hello"), SUCCESS),
                "cut short": (fastcgi(b"hello", ends=False, closes_stdout=False), FAILURE),
                "404": (fastcgi(b"x", status=b"404 Not Found"), NO_WORK),
                "empty": (fastcgi(), NO_WORK),
            },
            [
                "fastcgi_buffering on;",
                "fastcgi_buffering off;",
                "fastcgi_buffering on; fastcgi_keep_conn on;",
                "fastcgi_buffering off; fastcgi_keep_conn on;",
            ],
        )


class Scgi(Exchanges):
    passes = "scgi_pass llm;"

    def test_requests_buffered_and_not(self):
        head = b"Status: 200 OK\r\nContent-Length: 10\r\n\r\n"
        self.expect(
            {
                "whole": (scgi(head + b"0123456789"), SUCCESS),
                "cut short": (scgi(head + b"01234"), FAILURE),
                "without a length": (scgi(b"Status: 200 OK\r\n\r\n01234"), SUCCESS),
            },
            ["scgi_buffering on;", "scgi_buffering off;"],
        )


class Uwsgi(Exchanges):
    passes = "uwsgi_pass llm;"

    def test_requests_buffered_and_not(self):
        head = OK + b"Content-Length: 10\r\n\r\n"
        self.expect(
            {
                "whole": (uwsgi(head + b"0123456789"), SUCCESS),
                "cut short": (uwsgi(head + b"01234"), FAILURE),
                "404": (uwsgi(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx"), NO_WORK),
            },
            ["uwsgi_buffering on;", "uwsgi_buffering off;"],
        )


class Memcached(Exchanges):
    passes = "memcached_pass llm;"
    # Without NGINX's rewrite module, which has "set".
    http = "map $uri $memcached_key { default key; }"

    def test_requests(self):
        self.expect(
            {
                "hit": (memcached(b"VALUE key 0 5\r\nhello\r\nEND\r\n"), SUCCESS),
                "cut short": (memcached(b"VALUE key 0 5\r\nhel"), FAILURE),
                "miss": (memcached(b"END\r\n"), NO_WORK),
            }
        )


if __name__ == "__main__":
    unittest.main(verbosity=2)
