"""Requests that are wrong, or doubtful, or huge, each with what may become of it.

Whatever comes is answered or its connection ends, soon, and nothing of it is an error of ours: no
status of 500 or above stands in this table.
"""

import gzip
import json
from collections.abc import Iterator, Set
from dataclasses import dataclass

MIB = 2**20
CLOSED = 0  # without an answer


@dataclass(frozen=True, slots=True)
class Attempt:
    """Bytes on a new connection, and the statuses of the first answer that are right."""

    name: str
    content: bytes
    right: Set[int]


def attempts(model: str, key: str) -> Iterator[Attempt]:
    """All of them, for a model that is served and a key that is known."""
    yield from _bodies(model, key)
    yield from _heads(model, key)
    yield from _framing(model, key)


def render(body: bytes, key: str, headers: str = "", target: str = "/v1/embeddings") -> bytes:
    """A call."""
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n{headers}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _call(model: str, text: str = "x", **fields: object) -> bytes:
    return json.dumps({"model": model, "input": text} | fields).encode()


def _bodies(model: str, key: str) -> Iterator[Attempt]:
    right = _call(model)

    def attempt(name: str, body: bytes, *statuses: int, headers: str = "") -> Attempt:
        return Attempt(name, render(body, key, headers), set(statuses))

    opened = right[:-1] + b',"x":'
    yield attempt("a right one", right, 200)
    yield attempt("a million open brackets", b"[" * MIB, 400)
    yield attempt("a million brackets in an unknown field", opened + b"[" * MIB, 400)
    yield attempt("nested braces, closed", opened + b'{"a":' * 9999 + b"1" + b"}" * 10_000, 400)
    yield attempt("nested input, closed", b'{"model":"m","input":' + b"[" * 999 + b"]" * 999 + b"}",
                  400, 422)  # fmt: skip
    yield attempt("invalid UTF-8", right.replace(b'"x"', b'"\xff\xfe\x80"'), 400)
    yield attempt("an overlong NUL", right.replace(b'"x"', b'"\xc0\x80"'), 400)
    yield attempt("a raw NUL", right.replace(b'"x"', b'"\x00"'), 400)
    yield attempt("an escaped NUL", right.replace(b'"x"', b'"\\u0000"'), 200)
    yield attempt("a lone surrogate", right.replace(b'"x"', b'"\\ud800"'), 422)
    yield attempt("a raw surrogate", right.replace(b'"x"', b'"\xed\xa0\x80"'), 400)
    yield attempt("UTF-16 without a mark", right.decode().encode("utf-16-le"), 400)
    yield attempt("nothing", b"", 400)
    yield attempt("a number of a million digits", opened + b"9" * MIB + b"}", 200, 400)
    yield attempt("1e999", right[:-1] + b',"dimensions":1e999}', 400, 422)
    yield attempt("the same field a thousand times", b"{" + b'"input":"x",' * 1000 + right[1:], 200)
    yield attempt("above the limit", b" " * (5 * MIB), 413)
    yield attempt("a bomb of gzip", gzip.compress(b" " * (64 * MIB)), 413,
                  headers="Content-Encoding: gzip\r\n")  # fmt: skip
    yield attempt("half a gzip", gzip.compress(right)[:-9], 400,
                  headers="Content-Encoding: gzip\r\n")  # fmt: skip


def _heads(model: str, key: str) -> Iterator[Attempt]:
    right = _call(model)

    def attempt(name: str, content: bytes, *statuses: int) -> Attempt:
        return Attempt(name, content, set(statuses))

    yield attempt("a header of 1 MiB", render(right, key, f"X: {'x' * MIB}\r\n"), 400)
    yield attempt("100 000 headers", render(right, key, "X: x\r\n" * 100_000), 400)
    yield attempt("a path of 1 MiB", render(right, key, target="/" + "x" * MIB), 400)
    yield attempt("a path of escapes", render(right, key, target="/" + "%00" * 1000), 404)
    yield attempt("a path out of the root", render(right, key, target="/../../etc/passwd"), 404)
    yield attempt("a NUL in a header", render(right, key, "X: a\0b\r\n"), 400)
    yield attempt("a line feed in a header", render(right, key, "X: a\nY: b\r\n"), 200, 400)
    yield attempt("a folded header", render(right, key, "X: a\r\n b\r\n"), 200, 400)
    yield attempt("a space before the colon", render(right, key, "X : a\r\n"), 400)
    yield attempt("a request id with line ends", render(right, key, "x-request-id: a\rb\r\n"), 400)
    yield attempt("an absolute target", render(right, key, target="http://x/v1/embeddings"), 200)
    yield attempt("another host's target", render(right, key, target="http://y.org/v1/x"), 404)
    yield attempt("a tunnel", b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400)
    yield attempt("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400, 404, 405)
    yield attempt("an unknown method", b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 400, 405)
    yield attempt("HTTP/0.9", b"GET /\r\n\r\n", 400)
    yield attempt("HTTP/3.0", b"GET /health HTTP/3.0\r\nHost: x\r\n\r\n", 400)
    yield attempt("HTTP/2 with prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400)
    yield attempt("an offer of HTTP/2", render(right, key, "Connection: Upgrade, HTTP2-Settings\r\n"
                  "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), 200)  # fmt: skip
    yield attempt("an offer of WebSocket", render(right, key, "Connection: Upgrade\r\n"
                  "Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n"), 200)  # fmt: skip
    yield attempt("a handshake of TLS", bytes.fromhex("16030100c8010000c40303") + bytes(200), 400)
    yield attempt("random bytes", bytes(range(256)) * 40, 400)
    yield attempt("no host", b"GET /health HTTP/1.1\r\n\r\n", 200, 400)


def _framing(model: str, key: str) -> Iterator[Attempt]:
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n".encode()
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    body = _call(model)

    def attempt(name: str, content: bytes, *statuses: int) -> Attempt:
        return Attempt(name, content, set(statuses))

    for size in (b"-1", b"0x10", b"g", b"", b" 5", b"5 5", b"F" * 17, b"1" * 70_000):
        name = size.decode()[:20] or "nothing"
        yield attempt(f"a chunk of {name}", chunked + size + b"\r\n" + body + b"\r\n", 400)
    yield attempt("chunks of one byte", chunked + b"".join(b"1\r\n%c\r\n" % byte for byte in body)
                  + b"0\r\n\r\n", 200)  # fmt: skip
    yield attempt("an extension of 1 MiB", chunked + b"1;" + b"x" * MIB + b"\r\n{\r\n", 400)
    yield attempt("trailers without end", chunked + b"%x\r\n" % len(body) + body + b"\r\n0\r\n"
                  + b"X: x\r\n" * 100_000, 200, 400)  # fmt: skip
    lengths = (b"-1", b"+1", b"1e3", b"0x10", b"9" * 30, b"1, 1", b"")
    for length in lengths:
        content = head + b"Content-Length: " + length + b"\r\n\r\n" + body
        yield attempt(f"a length of {length.decode() or 'nothing'}", content, 400, 413)
    both = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    yield attempt("a length and chunks", head + both, 400)
    twice = b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n"
    yield attempt("two lengths", head + twice + b"xxxxx", 400)
    yield attempt(
        "10 000 requests at once", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000, 200
    )
