"""Ports for what tests start, from a part of the range that clients are not given."""

import random
import socket

# Linux hands out 32768 and up to connections, registered services lie below 10240. A port from
# in between stays free from here until a server takes it; one that the system chose (port 0)
# may by then belong to a client.
_untried = random.sample(range(10240, 32768), 32768 - 10240)


def free_port():
    """One that nothing listens on, and that no other call returns."""
    while _untried:
        port = _untried.pop()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port between 10240 and 32768 is free")
