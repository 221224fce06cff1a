"""What happens before there is a request: unreadable HTTP, endless heads, connections left open."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from gateway import Settings, create_app
from gateway.rest.http_protocol import MAX_HEAD_BYTES, HttpProtocol
from tests.fakes import MODEL, FakeEmbedder
from tests.gateway.conftest import KEYS
from tests.gateway.serving import serve_app

PATIENCE_SECONDS = 10.0
POST = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: KEY\r\n"


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A connection to a gateway with short timeouts."""
    monkeypatch.setattr(HttpProtocol, "head_timeout_seconds", 0.5)
    monkeypatch.setattr(HttpProtocol, "linger_seconds", 0.5)
    settings = Settings(api_keys=KEYS, max_body_bytes=1000)
    with (
        serve_app(create_app(settings, FakeEmbedder())) as port,
        socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection,
    ):
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:  # it closed with bytes of ours unread
        pass
    return received


def is_cut_off(
    connection: socket.socket, data: bytes, times: int, pause_seconds: float = 0.0
) -> bool:
    """Whether the other side closes while the same data is sent again and again."""
    try:
        for _ in range(times):
            connection.sendall(data)
            time.sleep(pause_seconds)
    except OSError:
        return True
    return False


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["tls", "header-without-colon", "long-path", "two-lengths", "bad-chunk"],
)
def test_unreadable_http_has_the_body_of_every_error(
    connection: socket.socket, sent: bytes
) -> None:
    connection.sendall(sent)
    head, _, content = read_all(connection).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    body = json.loads(content)
    assert lines[0] == "HTTP/1.1 400 Bad Request"
    assert {"content-type: application/json", f"content-length: {len(content)}"} <= set(lines)
    assert [line for line in lines if line.startswith("x-request-id: req_")]
    assert (body["type"], body["error"]["code"]) == ("bad_request_error", "invalid_http")
    assert body["message"] == body["detail"] == body["error"]["message"]


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nHost: ",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: ",
    ],
    ids=["path", "header", "trailer"],
)
def test_a_head_without_end_is_cut_off(connection: socket.socket, start: bytes) -> None:
    connection.sendall(start)
    assert is_cut_off(connection, b"a" * MAX_HEAD_BYTES, 400)


def test_a_head_may_come_in_pieces(connection: socket.socket) -> None:
    for byte in b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
        connection.sendall(bytes([byte]))
    assert read_all(connection).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("sent", [b"", b"GET / HT"], ids=["nothing", "half-a-head"])
def test_a_connection_without_a_request_is_closed(connection: socket.socket, sent: bytes) -> None:
    connection.sendall(sent)
    assert read_all(connection) == b""


def test_a_connection_between_two_requests_stays_open(connection: socket.socket) -> None:
    for _ in range(3):
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        time.sleep(0.3)  # in sum longer than a head may take


def test_an_answered_body_may_not_drip_for_ever(connection: socket.socket) -> None:
    connection.sendall(POST + b"Content-Length: 100000\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert is_cut_off(connection, b"a", 200, pause_seconds=0.05)


def test_a_body_behind_an_answered_request_may_be_slow(connection: socket.socket) -> None:
    embed = json.dumps({"model": MODEL, "input": "x"}).encode()
    head = POST + f"Content-Length: {len(embed)}\r\n\r\n".encode()
    connection.sendall(head + embed + head + embed[:5])
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    time.sleep(1)  # longer than the rest of an answered body may take
    connection.sendall(embed[5:])
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
