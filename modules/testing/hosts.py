"""HTTP hosts on the loopback, whose behaviour a test can change at any time.

They speak just enough HTTP/1.1 to be quick: several thousand requests a second from one
Python, which also leaves the processor to what is tested.
"""

import asyncio
import collections

from background import loop, run
from free_port import free_port
from http1 import header, split_body


def llm(step_s, **options):
    """Options of a host that says how long it takes for a token, on the scale of the model's service."""
    return {"headers": step_report(step_s), **options}


def step_report(step_s):
    """The header in which a host says how long it takes for a token."""
    return {"endpoint-load-metrics": f"TEXT named_metrics.time_per_output_token_seconds={step_s}"}


class Host:
    """
    An HTTP server. It answers after `delay_s`, or after as many seconds as a request's own
    `x-delay` says, with its address in the body if it is given no other.

    `service`, a `Batch`, takes the place of the delay. `stream` are pieces of a body, each
    with its time after the head. A request's `x-generate` comes back as `x-output-tokens`.
    """

    def __init__(self, delay_s=0.0, body_delay_s=0.0, status=200, headers=(), resets=False, body=None, metrics="",
                 answers_early=False, stream=(), cut_short=False, service=None, reports_step=False, ip="127.0.0.1",
                 port=None):
        self.delay_s, self.body_delay_s, self.status, self.headers = delay_s, body_delay_s, status, dict(headers)
        self.resets, self.body, self.metrics, self.service = resets, body, metrics, service
        # With the service's present step in each response's header.
        self.reports_step = reports_step
        # Before the request's body has come; what comes of it then is the connection's end.
        self.answers_early = answers_early
        self.stream = list(stream)
        # Closes the connection in place of a stream's last chunk.
        self.cut_short = cut_short
        self.ip, self.port = ip, port or free_port()
        self.served = self.busy = self.busiest = self.connections_total = 0
        self.requests = collections.deque(maxlen=64)
        self.bodies = collections.deque(maxlen=64)
        self.connections = set()
        self.server = None
        self.start()

    @property
    def address(self):
        return f"{self.ip}:{self.port}"

    def start(self):
        async def listen():
            self.server = await loop.create_server(
                lambda: _Connection(self), self.ip, self.port, backlog=1024, reuse_address=True
            )

        run(listen())

    def stop(self):
        """Refuses connections from now on, and resets those that are open."""

        async def close():
            if self.server is not None:
                # What was accepted already must be a connection before the server goes: asyncio
                # would forget its socket, open, and whoever is at the other end would wait.
                for listener in self.server.sockets:
                    loop.remove_reader(listener.fileno())
                await asyncio.sleep(0.001)
                self.server.close()
                self.server = None
            for connection in list(self.connections):
                connection.transport.abort()

        run(close())


class Batch:
    """
    The service of an inference host: all requests under way get a token each step, and a step
    takes the longer the more there are. A request ends with its last token.
    """

    def __init__(self, speed=1.0, tokens=40, step_s=0.0145, step_s_per_request=0.0001):
        self.tokens, self.speed, self.step_s, self.step_s_per_request = tokens, speed, step_s, step_s_per_request
        self.left, self.timer, self.due_s = {}, None, 0.0

    def step_now_s(self):
        return (self.step_s + self.step_s_per_request * len(self.left)) / self.speed

    def serve(self, done):
        """Calls `done` when all tokens of a request have been generated."""
        self.left[done] = self.tokens
        if self.timer is None:
            self.due_s = loop.time()
            self.schedule()

    def schedule(self):
        # By what is due, so that a busy machine's late timers do not slow the host down.
        self.due_s += self.step_now_s()
        self.timer = loop.call_at(self.due_s, self.step)

    def step(self):
        ended = []
        for done in self.left:
            self.left[done] -= 1
            if self.left[done] == 0:
                ended.append(done)
        for done in ended:
            del self.left[done]
        self.timer = None
        if self.left:
            self.schedule()
        for done in ended:
            done()


class _Connection(asyncio.Protocol):
    def __init__(self, host):
        self.host, self.buffer, self.transport = host, b"", None

    def connection_made(self, transport):
        self.transport = transport
        self.host.connections.add(self)
        self.host.connections_total += 1

    def connection_lost(self, _):
        self.host.connections.discard(self)

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            if self.host.answers_early:
                self.buffer, body = b"", None
            else:
                body, rest = split_body(head, self.buffer[end + 4 :])
                if body is None:
                    return
                self.buffer = rest
            if self.host.metrics and head.startswith(b"GET /metrics "):
                page = self.host.metrics.encode()
                self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(page), page))
                continue
            self.host.requests.append(head.decode("latin-1"))
            self.host.bodies.append(body)
            self.begin(head)

    def begin(self, head):
        host = self.host
        host.busy += 1
        host.busiest = max(host.busiest, host.busy)
        own_delay = header(head, b"x-delay")
        delay_s = float(own_delay) if own_delay else host.delay_s
        if host.service is not None and not own_delay:
            host.service.serve(lambda: self.respond(head))
        elif delay_s:
            loop.call_later(delay_s, self.respond, head)
        else:
            self.respond(head)

    def respond(self, head):
        host = self.host
        host.busy -= 1
        if self.transport.is_closing():
            return
        if host.resets:
            self.transport.abort()
            return
        host.served += 1
        body = (host.address if host.body is None else host.body).encode()
        headers = dict(host.headers)
        if host.reports_step:
            headers.update(step_report(host.service.step_now_s()))
        if generated := header(head, b"x-generate"):
            headers["x-output-tokens"] = generated.decode("latin-1")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")
        if host.stream:
            self.respond_in_pieces(lines)
            return
        # These have no body, whatever their head says.
        has_length = host.status >= 200 and host.status != 204
        length = b"content-length: %d\r\n" % len(body) if has_length else b""
        response = b"HTTP/1.1 %d X\r\n%s%s\r\n" % (host.status, length, lines)
        if head.startswith(b"HEAD ") or not has_length or host.status == 304:
            body = b""
        if host.body_delay_s:
            self.transport.write(response)
            loop.call_later(host.body_delay_s, self.transport.write, body)
        else:
            self.transport.write(response + body)

    def respond_in_pieces(self, lines):
        host = self.host
        self.transport.write(b"HTTP/1.1 %d X\r\ntransfer-encoding: chunked\r\n%s\r\n" % (host.status, lines))
        for at_s, piece in host.stream:
            loop.call_later(at_s, self.transport.write, b"%x\r\n%s\r\n" % (len(piece), piece))
        if host.cut_short:
            loop.call_later(host.stream[-1][0], self.transport.close)
        else:
            loop.call_later(host.stream[-1][0], self.transport.write, b"0\r\n\r\n")
