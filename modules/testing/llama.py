"""llama.cpp's own server on a small model, and clients that count what it sends them.

The environment says where the server is (`EVENKEEL_LLAMA_SERVER`) and where models of two widths
are (`EVENKEEL_LLAMA_MODELS`, a folder with `fast.gguf` and `slow.gguf`).
"""

import http.client
import json
import os
import random
import subprocess
import threading
import time

from free_port import free_port

SERVER = os.environ.get("EVENKEEL_LLAMA_SERVER")
MODELS = os.environ.get("EVENKEEL_LLAMA_MODELS")


class LlamaServer:
    """A server of its own process, ended with `stop`."""

    def __init__(self, model="fast", slots=4):
        self.port = free_port()
        self.process = subprocess.Popen(
            [SERVER, "-m", f"{MODELS}/{model}.gguf", "--device", "none", "--host", "127.0.0.1", "--port", str(self.port),
             "--metrics", "--parallel", str(slots), "-c", "8192", "-t", "1", "--no-webui"],
            env={**os.environ, "LD_LIBRARY_PATH": os.path.dirname(SERVER)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def wait(self, seconds=90):
        """Until it has loaded its model."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if ask(self.port, "GET", "/health")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError("llama.cpp's server does not start")

    def stop(self):
        self.process.kill()
        self.process.wait()


class Servers:
    """For a test: servers that end with it, and requests whose answers are counted."""

    def servers(self, *models):
        servers = [LlamaServer(model) for model in models]
        for server in servers:
            self.addCleanup(server.stop)
        return [server.wait() for server in servers]

    def send(self, proxy, form, seed, words=40, tokens=30):
        path, body = FORMS[form]
        status, text = ask(proxy.port, "POST", path, json.dumps(body(prompt(words, seed), tokens)))
        self.assertEqual(status, 200, text[:200])
        return counted(text)


def ask(port, method, path, body=None, timeout_s=60):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def prompt(words, seed):
    """A text of so many words of the model's, hence of one token more."""
    choose = random.Random(seed)
    return " ".join(f"w{choose.randrange(200)}" for _ in range(words))


# The forms in which clients ask: path, and body of a prompt with a limit.
FORMS = {
    "completion": ("/v1/completions", lambda text, tokens: {"prompt": text, "max_tokens": tokens}),
    "streamed completion": (
        "/v1/completions",
        lambda text, tokens: {
            "prompt": text, "max_tokens": tokens, "stream": True, "stream_options": {"include_usage": True},
        },
    ),
    "chat": (
        "/v1/chat/completions",
        lambda text, tokens: {"messages": [{"role": "user", "content": text}], "max_tokens": tokens},
    ),
    "streamed chat": (
        "/v1/chat/completions",
        lambda text, tokens: {
            "messages": [{"role": "user", "content": text}], "max_tokens": tokens, "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    "llama.cpp's own": ("/completion", lambda text, tokens: {"prompt": text, "n_predict": tokens}),
    "llama.cpp's own, streamed": ("/completion", lambda text, tokens: {"prompt": text, "n_predict": tokens, "stream": True}),
}


def documents(text):
    """The JSON documents of an answer, streamed or not."""
    if not text.startswith(b"data:"):
        return [json.loads(text)]
    lines = (line[5:].strip() for line in text.split(b"\n") if line.startswith(b"data:"))
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def counted(text):
    """Prompt, output and cached tokens, as a client that reads an answer finds them."""
    found = {}
    for document in documents(text):
        usage, timings = document.get("usage"), document.get("timings")
        if timings:
            found = {
                "prompt": timings["prompt_n"] + timings["cache_n"],
                "output": timings["predicted_n"],
                "cached": timings["cache_n"],
            }
        if usage:
            details = usage.get("prompt_tokens_details") or {}
            found |= {"prompt": usage["prompt_tokens"], "output": usage["completion_tokens"]}
            found["cached"] = details.get("cached_tokens", found.get("cached", 0))
    return found


def load(port, requests, clients, words=(20, 200), tokens=(10, 60), seed=0):
    """Sends streams from several clients at once; returns the seconds that each took."""
    choose = random.Random(seed)
    plan = [(choose.randint(*words), choose.randint(*tokens), number) for number in range(requests)]
    times, lock = [], threading.Lock()
    path, body = FORMS["streamed completion"]

    def client():
        while True:
            with lock:
                if not plan:
                    return
                length, limit, number = plan.pop()
            begun = time.monotonic()
            status, _ = ask(port, "POST", path, json.dumps(body(prompt(length, number), limit)))
            with lock:
                times.append((status, time.monotonic() - begun))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times
