"""Bytes on a socket: what a hostile or an old client sends, and every answer that comes back."""

import json
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes import MODEL

PATIENCE_SECONDS = 10.0
HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: KEY\r\n"
# Asked last, so that the gateway closes the connection behind its answer.
FAREWELL = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """One answer on the wire."""

    status: int
    head: bytes
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def body_of(text: str = "x") -> bytes:
    """A call that embeds one text."""
    return json.dumps({"model": MODEL, "input": text}).encode()


def with_length(body: bytes, headers: bytes = b"") -> bytes:
    """A POST that announces the length of its body."""
    return HEAD + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, headers: bytes = b"", trailers: bytes = b"") -> bytes:
    """The same in two chunks."""
    parts = (body[: len(body) // 2], body[len(body) // 2 :])
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return (
        HEAD
        + headers
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + chunks
        + b"0\r\n"
        + trailers
        + b"\r\n"
    )


def converse(port: int, *parts: bytes, pause_seconds: float = 0.0) -> list[Answer]:
    """Sends the parts one after the other; every answer until the gateway closes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_seconds)
        return split_answers(read_all(connection))


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:  # it closed with bytes of ours unread
        pass
    return received


def split_answers(received: bytes) -> list[Answer]:
    """The answers in a stream that holds nothing else."""
    answers = []
    while received:
        head, separator, rest = received.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        assert status is not None, received[:200]
        assert separator, received[:200]
        length = re.search(rb"^content-length: (\d+)\r?$", head, re.MULTILINE | re.IGNORECASE)
        size = int(length[1]) if length else 0
        assert len(rest) >= size, received[:200]
        answers.append(Answer(int(status[1]), head, rest[:size]))
        received = rest[size:]
    return answers


def statuses(answers: list[Answer]) -> list[int]:
    """Their statuses, in order."""
    return [answer.status for answer in answers]


def wait_until(statement: Callable[[], bool]) -> None:
    """Fails if it is not true soon."""
    latest = time.monotonic() + PATIENCE_SECONDS
    while not statement():
        assert time.monotonic() < latest
        time.sleep(0.01)
