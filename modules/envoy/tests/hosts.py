"""HTTP hosts on the loopback, and clients that load what is in front of them.

Both speak just enough HTTP/1.1 to be quick: several thousand requests a second from one
Python, which also leaves the processor to what is tested.
"""

import asyncio
import collections
import random
import threading

from free_port import free_port

_loop = asyncio.new_event_loop()
threading.Thread(target=_loop.run_forever, daemon=True).start()


def run(coroutine, timeout_s=120):
    """Runs on the thread that serves the hosts, and waits."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop).result(timeout_s)


class Host:
    """An HTTP server whose delay, status, headers and metrics can be changed at any time."""

    def __init__(self, delay_s=0.0, body_delay_s=0.0, status=200, headers=(), resets=False, body=None,
                 metrics="", answers_early=False, stream=(), ip="127.0.0.1"):
        self.delay_s, self.body_delay_s, self.status, self.headers = delay_s, body_delay_s, status, dict(headers)
        self.resets, self.body, self.metrics = resets, body, metrics
        # Before the request's body has come; what comes of it then is the connection's end.
        self.answers_early = answers_early
        # Pieces of a body in place of the one above, each with its time after the head.
        self.stream = list(stream)
        self.ip, self.port = ip, free_port()
        self.served = 0
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
            self.server = await _loop.create_server(
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
                    _loop.remove_reader(listener.fileno())
                await asyncio.sleep(0.001)
                self.server.close()
                self.server = None
            for connection in list(self.connections):
                connection.transport.abort()

        run(close())


class _Connection(asyncio.Protocol):
    def __init__(self, host):
        self.host, self.buffer, self.transport, self.is_head = host, b"", None, False

    def connection_made(self, transport):
        self.transport = transport
        self.host.connections.add(self)

    def connection_lost(self, _):
        self.host.connections.discard(self)

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            if self.host.answers_early:
                self.buffer, body = b"", None
            else:
                body, rest = _body(head, self.buffer[end + 4 :])
                if body is None:
                    return
                self.buffer = rest
            if head.startswith(b"GET /metrics "):
                page = self.host.metrics.encode()
                self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(page), page))
                continue
            self.host.requests.append(head.decode("latin-1"))
            self.host.bodies.append(body)
            self.is_head = head.startswith(b"HEAD ")
            if self.host.delay_s:
                _loop.call_later(self.host.delay_s, self.respond)
            else:
                self.respond()

    def respond(self):
        host = self.host
        if self.transport.is_closing():
            return
        if host.resets:
            self.transport.abort()
            return
        host.served += 1
        body = (host.address if host.body is None else host.body).encode()
        extra = "".join(f"{name}: {value}\r\n" for name, value in host.headers.items()).encode("latin-1")
        if host.stream:
            self.transport.write(b"HTTP/1.1 %d X\r\ntransfer-encoding: chunked\r\n%s\r\n" % (host.status, extra))
            for at_s, piece in host.stream:
                _loop.call_later(at_s, self.transport.write, b"%x\r\n%s\r\n" % (len(piece), piece))
            _loop.call_later(host.stream[-1][0], self.transport.write, b"0\r\n\r\n")
            return
        # These have no body, whatever their head says.
        has_length = host.status >= 200 and host.status != 204
        length = b"content-length: %d\r\n" % len(body) if has_length else b""
        head = b"HTTP/1.1 %d X\r\n%s%s\r\n" % (host.status, length, extra)
        if self.is_head or not has_length or host.status == 304:
            body = b""
        if host.body_delay_s:
            self.transport.write(head)
            _loop.call_later(host.body_delay_s, self.transport.write, body)
        else:
            self.transport.write(head + body)


async def _read_body(reader, head):
    if b"\r\ntransfer-encoding: chunked" not in head.lower():
        return await reader.readexactly(_content_length(head))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


def _body(head, following):
    """The body of a request and what follows it; None if it has not come as a whole."""
    if b"\r\ntransfer-encoding: chunked" not in head.lower():
        length = _content_length(head)
        return (following[:length], following[length:]) if len(following) >= length else (None, b"")
    body = b""
    while (end := following.find(b"\r\n")) >= 0:
        size = int(following[:end], 16)
        if len(following) < end + 4 + size:
            break
        body += following[end + 2 : end + 2 + size]
        following = following[end + 4 + size :]
        if size == 0:
            return body, following
    return None, b""


def _content_length(head):
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


class Load:
    """Requests to one port from several clients at once; counts (status, body).

    Each client asks again when it is answered, or, with a rate, when its turn comes: later
    than that only if the answer does.
    """

    def __init__(self, port, clients=8, path="/", headers=(), body=b"", rate_per_s=None):
        self.port, self.answers, self.left, self.stopped = port, collections.Counter(), 0, False
        lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "host: test", *(f"{n}: {v}" for n, v in headers)]
        if body:
            lines.append(f"content-length: {len(body)}")
        self.request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        self.clients, self.future = clients, None
        self.pause_s = clients / rate_per_s if rate_per_s else 0.0

    def start(self, requests=None):
        """In the background: so many requests, or until it is told to stop."""
        self.left = requests if requests is not None else 1 << 60

        async def all_clients():
            await asyncio.gather(*(self.client() for _ in range(self.clients)))

        self.future = asyncio.run_coroutine_threadsafe(all_clients(), _loop)
        return self

    def finish(self, timeout_s=120):
        self.future.result(timeout_s)
        return self.answers

    def stop(self):
        self.left = 0
        return self.finish()

    async def client(self):
        reader = writer = None
        turn_s = _loop.time() + random.random() * self.pause_s
        while self.left > 0:
            if self.pause_s:
                await asyncio.sleep(max(0.0, turn_s - _loop.time()))
                turn_s += self.pause_s
            self.left -= 1
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(self.request)
                head = await reader.readuntil(b"\r\n\r\n")
                body = await _read_body(reader, head)
                self.answers[int(head[9:12]), body.decode("latin-1")] += 1
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.answers[0, repr(error)] += 1
                if writer is not None:
                    writer.close()
                writer = None
                await asyncio.sleep(0.005)
        if writer is not None:
            writer.close()
