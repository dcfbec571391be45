"""Just enough HTTP/2 to hold thousands of requests on a few connections."""

import asyncio
import socket
import struct

from free_port import free_port
from background import loop, run

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _SETTINGS, _PING = 1, 4, 6
_ACK, _END = 1, 5
# Streams at once, as many as anybody wants.
_OPTIONS = struct.pack("!HI", 3, 1 << 20)


def _frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


class HoldingHost:
    """A host that takes every request and answers none."""

    def __init__(self):
        self.port, self.held = free_port(), 0

        async def listen():
            self.server = await loop.create_server(lambda: _Holding(self), "127.0.0.1", self.port)

        run(listen())

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        loop.call_soon_threadsafe(self.server.close)


class _Holding(asyncio.Protocol):
    def __init__(self, host):
        self.host, self.buffer, self.transport, self.seen_preface = host, b"", None, False

    def connection_made(self, transport):
        self.transport = transport
        transport.write(_frame(_SETTINGS, 0, 0, _OPTIONS))

    def data_received(self, data):
        self.buffer += data
        if not self.seen_preface:
            if len(self.buffer) < len(_PREFACE):
                return
            self.buffer, self.seen_preface = self.buffer[len(_PREFACE) :], True
        at = 0
        while len(self.buffer) >= at + 9:
            length = int.from_bytes(self.buffer[at : at + 3], "big")
            if len(self.buffer) < at + 9 + length:
                break
            kind, flags = self.buffer[at + 3], self.buffer[at + 4]
            if kind == _HEADERS:
                self.host.held += 1
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                payload = self.buffer[at + 9 : at + 9 + length] if kind == _PING else b""
                self.transport.write(_frame(kind, _ACK, 0, payload))
            at += 9 + length
        self.buffer = self.buffer[at:]


def requests(port, count):
    """A connection with so many requests on it, of which none has been answered."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, _OPTIONS))
    # GET http / by the static table, and a name of its own for the host.
    block = b"\x82\x86\x84\x01\x04test"
    for first in range(0, count, 500):
        streams = range(first, min(first + 500, count))
        client.sendall(b"".join(_frame(_HEADERS, _END, 2 * n + 1, block) for n in streams))
    return client
