"""One event loop on a thread of its own, for all hosts and clients of a test."""

import asyncio
import threading

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def run(coroutine, timeout_s=120):
    """Runs on the loop, and waits for the result."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout_s)
