"""The header in which the filter `request` hands to the policy what it read."""

NAMES = ("prompt_tokens", "text_bytes", "max_tokens", "class", "session")

# Of a token, until an engine has counted some.
TEXT_BYTES = 4


def facts_of(request):
    """By name, the prompt's text counted in tokens, with the keys of its prefixes; None without the header."""
    head = dict(line.split(": ", 1) for line in request.split("\r\n")[1:])
    if "x-evenkeel-facts" not in head:
        return None
    numbers = [int(number, 16) for number in head["x-evenkeel-facts"].split("-")]
    facts = {**dict(zip(NAMES, numbers)), "prefix_keys": [key for key in numbers[len(NAMES) :] if key]}
    facts["prompt_tokens"] += facts.pop("text_bytes") // TEXT_BYTES
    return facts


def key_of(text):
    """FNV-1a of 64 bits, as classes and sessions are known by."""
    key = 0xCBF29CE484222325
    for byte in text.encode():
        key = (key ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return key
