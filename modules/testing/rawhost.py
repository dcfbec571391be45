"""Hosts that speak byte by byte: they break off, reset, and answer as no proper server does."""

import socket
import struct
import threading
import time

from free_port import free_port


class RawHost:
    """A server on a port of the loopback that gives each connection to a function."""

    def __init__(self, answer):
        self.answer = answer
        self.port = free_port()
        self.served = 0
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.settimeout(20)
        try:
            self.served += 1
            self.answer(connection)
        except OSError:
            pass  # NGINX went away
        finally:
            connection.close()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def http_request(connection):
    """Reads a request without a body."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(4096)
        if not more:
            raise OSError("no request")
        received += more
    return received


def reset(connection):
    """Closes with a reset in place of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def web(*parts, ends="close", wait_s=0.0):
    """An HTTP host that sends these parts, some time apart, and then ends the connection so."""

    def answer(connection):
        http_request(connection)
        for part in parts:
            connection.sendall(part)
            time.sleep(wait_s)
        if ends == "reset":
            reset(connection)
        elif ends == "never":
            connection.recv(1)  # until NGINX closes

    return answer


def sse(*events, whole=True):
    """A chunked stream of events, with its last chunk or without."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
    return [head, *chunks, *([b"0\r\n\r\n"] if whole else [])]


def fastcgi(body=b"", ends=True, closes_stdout=True, status=b"200 OK"):
    """A FastCGI host (FastCGI 1.0, 3.3 and 5) that answers, and ends the request or does not."""

    def record(kind, content):
        return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content

    def answer(connection):
        # Parameters and standard input end with an empty record each.
        ended = 0
        while ended < 2:
            head = read(connection, 8)
            _, kind, _, length, padding = struct.unpack("!BBHHBx", head)
            read(connection, length + padding)
            ended += kind in (4, 5) and length == 0
        connection.sendall(record(6, b"Status: " + status + b"\r\nContent-Type: text/plain\r\n\r\n" + body))
        if closes_stdout:
            connection.sendall(record(6, b""))
        if ends:
            connection.sendall(record(3, struct.pack("!IB3x", 0, 0)))

    return answer


def scgi(response):
    """An SCGI host: it reads the netstring of the request's headers, and answers."""

    def answer(connection):
        length = b""
        while not length.endswith(b":"):
            length += read(connection, 1)
        read(connection, int(length[:-1]) + 1)
        connection.sendall(response)

    return answer


def uwsgi(response):
    """A uwsgi host: it reads the packet of the request's variables, and answers."""

    def answer(connection):
        _, size, _ = struct.unpack("<BHB", read(connection, 4))
        read(connection, size)
        connection.sendall(response)

    return answer


def memcached(response):
    """A memcached host for one `get`."""

    def answer(connection):
        received = b""
        while not received.endswith(b"\r\n"):
            received += read(connection, 1)
        connection.sendall(response)

    return answer


def grpc(status="0", body=b"\0\0\0\0\x01x", ends="trailers", headers=()):
    """
    A gRPC host (HTTP/2, RFC 9113) that ends a call with trailers, with a header alone
    ("header"), with a reset of the stream ("reset") or of the connection ("close").
    """

    def frame(kind, flags, stream, payload):
        return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload

    def literal(name, value):
        # HPACK (RFC 7541, 6.2.2): literal without indexing, names and values not compressed.
        return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()

    def answer(connection):
        read(connection, 24)  # the preface
        connection.sendall(frame(4, 0, 0, b""))
        stream = 0
        while not stream:
            head = read(connection, 9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            number = int.from_bytes(head[5:], "big")
            read(connection, length)
            if kind == 4 and not flags & 1:
                connection.sendall(frame(4, 1, 0, b""))
            if kind in (0, 1) and flags & 1:
                stream = number
        head = b"\x88" + literal("content-type", "application/grpc")
        trailer = literal("grpc-status", status)
        if ends == "header":
            connection.sendall(frame(1, 4 | 1, stream, head + trailer))
        else:
            connection.sendall(frame(1, 4, stream, head))
            connection.sendall(frame(0, 0, stream, body))
        if ends == "trailers":
            connection.sendall(frame(1, 4 | 1, stream, trailer))
        elif ends == "reset":
            connection.sendall(frame(3, 0, stream, struct.pack("!I", 2)))
        if ends != "close":
            time.sleep(0.2)

    return answer


def read(connection, length):
    """Exactly so many bytes."""
    received = b""
    while len(received) < length:
        more = connection.recv(length - len(received))
        if not more:
            raise OSError("the connection ended early")
        received += more
    return received
