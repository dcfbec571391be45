"""Just enough HTTP/1.1 for hosts and clients of a test."""


def content_length(head):
    """What a head announces; 0 where it announces nothing."""
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def is_chunked(head):
    return b"\r\ntransfer-encoding: chunked" in head.lower()


def header(head, name):
    """The value of a header in a head; None where it is missing."""
    at = head.lower().find(b"\r\n%s:" % name.lower())
    return head[at + 3 + len(name) :].split(b"\r\n", 1)[0].strip() if at >= 0 else None


def split_body(head, following):
    """The body of a request and what follows it; (None, b"") if it has not come as a whole."""
    if not is_chunked(head):
        length = content_length(head)
        return (following[:length], following[length:]) if len(following) >= length else (None, b"")
    body = b""
    while (end := following.find(b"\r\n")) >= 0:
        size = int(following[:end], 16)
        if len(following) < end + 4 + size:
            break
        body += following[end + 2 : end + 2 + size]
        following = following[end + 4 + size :]
        if size == 0:
            return body, following
    return None, b""


async def read_body(reader, head):
    """The body that follows a head, from a stream."""
    if not is_chunked(head):
        return await reader.readexactly(content_length(head))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body
