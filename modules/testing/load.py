"""Clients that load what is in front of the hosts, and what became of their requests."""

import asyncio
import collections
import random

from background import loop
from http1 import read_body
from waiting import PATIENCE


def answered(answers):
    """Requests answered with 200 by each host, where hosts answer with their addresses."""
    by_host = collections.Counter()
    for (status, host), count in answers.items():
        if status == 200:
            by_host[host] += count
    return by_host


class Load:
    """Requests to one port from several clients at once; counts (status, body).

    Each client asks again when it is answered, or, with a rate, when its turn comes: later
    than that only if the answer does. `times_s` has how long each of the last answers took.
    """

    def __init__(self, port, clients=8, path="/", headers=(), body=b"", rate_per_s=None):
        self.port, self.answers, self.left = port, collections.Counter(), 0
        lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "host: test", *(f"{n}: {v}" for n, v in headers)]
        if body:
            lines.append(f"content-length: {len(body)}")
        self.request = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        self.clients, self.future = clients, None
        self.pause_s = clients / rate_per_s if rate_per_s else 0.0
        self.times_s = collections.deque(maxlen=1 << 16)

    def start(self, requests=None):
        """In the background: so many requests, or until it is told to stop."""
        self.left = requests if requests is not None else 1 << 60

        async def all_clients():
            await asyncio.gather(*(self.client() for _ in range(self.clients)))

        self.future = asyncio.run_coroutine_threadsafe(all_clients(), loop)
        return self

    def finish(self, timeout_s=120):
        """Waits for the last answer; what has none by then is given up, and named."""
        try:
            self.future.result(timeout_s * PATIENCE)
        except TimeoutError:
            self.future.cancel()
            raise AssertionError(f"no answer within {timeout_s} s; until then {self.answers}") from None
        return self.answers

    def stop(self):
        """Lets the requests under way end."""
        self.left = 0
        return self.finish()

    async def client(self):
        reader = writer = None
        turn_s = loop.time() + random.random() * self.pause_s
        while self.left > 0:
            if self.pause_s:
                await asyncio.sleep(max(0.0, turn_s - loop.time()))
                turn_s += self.pause_s
            self.left -= 1
            try:
                begin_s = loop.time()
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(self.request)
                head = await reader.readuntil(b"\r\n\r\n")
                body = await read_body(reader, head)
                self.times_s.append(loop.time() - begin_s)
                self.answers[int(head[9:12]), body.decode("latin-1")] += 1
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.answers[0, repr(error)] += 1
                if writer is not None:
                    writer.close()
                writer = None
                await asyncio.sleep(0.005)
        if writer is not None:
            writer.close()
