"""Writes the folder of a model without weights, for engines that simulate the model but read its tokenizer.

A token is a space and three letters from a to p, as the replayer's prompts have them, so that a prompt
has as many tokens as the trace says. Of any other text each byte is one.
"""

import itertools
import json
import pathlib
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

LETTERS = "abcdefghijklmnop"
CONTEXT_TOKENS = 131_072


def words(letters):
    """Words of so many letters, each behind the sign that stands for a space."""
    return ["\u0120" + "".join(word) for word in itertools.product(LETTERS, repeat=letters)]


def main(folder):
    # Engines that draw tokens at random draw low numbers: whole words.
    tokens = [*words(3), *words(2), *words(1), *sorted(pre_tokenizers.ByteLevel.alphabet()), "<s>", "</s>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [(word[:-1], word[-1]) for letters in (1, 2, 3) for word in words(letters)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    begin, end = vocabulary["<s>"], vocabulary["</s>"]
    ends = {"bos_token_id": begin, "eos_token_id": end}
    files = {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "max_position_embeddings": CONTEXT_TOKENS,
            "vocab_size": len(vocabulary),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "num_hidden_layers": 2,
            **ends,
        },
        "generation_config.json": ends,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT_TOKENS,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "chat_template": "{% for message in messages %}{{ message['content'] }} {% endfor %}",
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1))
    # Last, so that a folder that has it is complete.
    tokenizer.save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
