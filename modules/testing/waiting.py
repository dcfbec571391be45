"""Waiting for what happens in its own time, never longer than is bearable."""

import os
import time

# A proxy that runs under a checker of memory, such as valgrind, takes several times as long.
PATIENCE = 6 if os.environ.get("EVENKEEL_NGINX_WRAPPER") else 1


def until(condition, complaint, seconds=10):
    """Returns once the condition holds; fails with the complaint, a text or what makes one."""
    end = time.monotonic() + seconds * PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(complaint() if callable(complaint) else complaint)
        time.sleep(0.02)
