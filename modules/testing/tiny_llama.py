"""Writes a small language model of random weights, which generates words without end (PyPI gguf)."""

import sys

import gguf
import numpy as np

VOCABULARY, CONTEXT, LAYERS = 512, 8192, 2
SPECIAL = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]


def write(path, width):
    """A model of this width: a multiple of 32, the larger the slower."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(3 * width)
    writer.add_head_count(width // 32)
    writer.add_head_count_kv(width // 32)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(32)
    writer.add_vocab_size(VOCABULARY)
    words = [f"\u2581w{number}" for number in range(VOCABULARY - len(SPECIAL))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token.encode() for token in SPECIAL + words])
    writer.add_token_scores([0.0] * len(SPECIAL) + [-float(number) for number in range(len(words))])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(words))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def add(name, *shape):
        weights = random.normal(size=shape) * 0.05 if len(shape) > 1 else np.ones(shape)
        if name == "output":
            weights[: len(SPECIAL)] = 0  # bytes at random are no UTF-8, for which the server answers 500
        writer.add_tensor(f"{name}.weight", weights.astype(np.float32))

    add("token_embd", VOCABULARY, width)
    add("output_norm", width)
    add("output", VOCABULARY, width)
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{name}", width)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}", width, width)
        for name in ("ffn_gate", "ffn_up"):
            add(f"blk.{layer}.{name}", 3 * width, width)
        add(f"blk.{layer}.ffn_down", width, 3 * width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]))
