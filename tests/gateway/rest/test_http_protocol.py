"""How long a client may take, and how a connection ends: endless heads, silence, unread answers."""

import json
import re
import socket
import time
from collections.abc import Iterator

import pytest

from gateway import Settings, create_app
from gateway.rest.http_protocol import MAX_HEAD_BYTES, MAX_WAITING_REQUESTS
from tests.fakes import MODEL, FakeEmbedder
from tests.gateway.conftest import KEYS
from tests.gateway.serving import serve_app
from tests.gateway.wire import (
    HEAD,
    PATIENCE_SECONDS,
    body_of,
    chunked,
    converse,
    read_all,
    split_answers,
    statuses,
    wait_until,
    with_length,
)

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
KEEP_ALIVE_SECONDS = 0.3
EMBEDDER = FakeEmbedder()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A gateway with little patience."""
    app = create_app(Settings(api_keys=KEYS, max_body_bytes=1000), EMBEDDER)
    with serve_app(app, keep_alive=KEEP_ALIVE_SECONDS, head=0.25, rest=0.2) as port:
        yield port


@pytest.fixture
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        yield connection


@pytest.fixture
def embedder() -> Iterator[FakeEmbedder]:
    EMBEDDER.calls.clear()
    EMBEDDER.cancelled = 0
    yield EMBEDDER
    EMBEDDER.pause_seconds = 0.0


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


def seconds_until_closed(connection: socket.socket) -> float:
    """From now, with whatever still comes."""
    start = time.monotonic()
    read_all(connection)
    return time.monotonic() - start


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"a" * 70_000,
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["tls", "header-without-colon", "long-path", "long-header", "two-lengths", "bad-chunk"],
)
def test_unreadable_http_has_the_body_of_every_error(port: int, sent: bytes) -> None:
    (answer,) = converse(port, sent)
    lines = answer.head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 400 Bad Request"
    assert {"content-type: application/json", "connection: close"} <= set(lines)
    assert [line for line in lines if line.startswith("x-request-id: req_")]
    body = answer.json
    assert (body["type"], body["error"]["code"]) == ("bad_request_error", "invalid_http")
    assert body["message"] == body["detail"] == body["error"]["message"]


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nHost: ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;extension=",
    ],
    ids=["path", "header", "trailer", "chunk-extension"],
)
def test_a_head_without_end_is_cut_off(connection: socket.socket, start: bytes) -> None:
    connection.sendall(start)
    assert is_cut_off(connection, b"a" * MAX_HEAD_BYTES, 400, pause_seconds=0.01)


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES, MAX_HEAD_BYTES + 1])
def test_a_head_has_a_longest(port: int, size: int) -> None:
    head = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: "
    most = head + b"a" * (size - len(head))
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        connection.sendall(most)
        time.sleep(0.1)
        if size == MAX_HEAD_BYTES:  # the other one is answered already
            connection.sendall(b"\r\n\r\n")
        (answer,) = split_answers(read_all(connection))
    assert answer.status == (200 if size == MAX_HEAD_BYTES else 400)


def test_a_head_may_come_in_pieces(port: int) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert statuses(converse(port, *(bytes([byte]) for byte in request))) == [200]


def test_silence_ends_a_connection(connection: socket.socket) -> None:
    connection.sendall(GET)
    assert KEEP_ALIVE_SECONDS - 0.05 < seconds_until_closed(connection) < KEEP_ALIVE_SECONDS + 1


def test_a_body_that_comes_late_leaves_no_connection_open(connection: socket.socket) -> None:
    head, _, body = with_length(body_of()).replace(b"KEY", b"WRONG").partition(b"\r\n\r\n")
    connection.sendall(head + b"\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
    connection.sendall(body)
    assert KEEP_ALIVE_SECONDS - 0.05 < seconds_until_closed(connection) < KEEP_ALIVE_SECONDS + 1


def test_a_connection_between_two_requests_stays_open(connection: socket.socket) -> None:
    for _ in range(3):
        connection.sendall(GET)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        time.sleep(0.2)  # in sum longer than a pause may last


def test_an_answered_body_may_not_drip_for_ever(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert is_cut_off(connection, b"a", 200, pause_seconds=0.02)


@pytest.mark.parametrize("last", [b"HTTP/1.0", b"HTTP/1.1"])
def test_an_early_answer_to_a_last_request_is_not_lost(port: int, last: bytes) -> None:
    """As nginx asks by default: closed at once, the rest of the body would reset the connection."""
    head = HEAD.replace(b"HTTP/1.1", last) + b"Connection: close\r\nContent-Length: 5000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        connection.sendall(head)
        time.sleep(0.1)  # the answer is out
        connection.sendall(b"a" * 5_000_000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("behind", [b"", GET, chunked(body_of())], ids=["nothing", "get", "post"])
def test_a_hang_up_is_noticed_whatever_was_sent_behind(
    port: int, embedder: FakeEmbedder, behind: bytes
) -> None:
    embedder.pause_seconds = 30
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(with_length(body_of()) + behind)
        wait_until(lambda: len(embedder.calls) == 1)
        connection.sendall(behind)
        time.sleep(0.1)
    wait_until(lambda: embedder.cancelled == 1)


def test_waiting_requests_are_all_answered(port: int, embedder: FakeEmbedder) -> None:
    embedder.pause_seconds = 0.01
    numbers = [b"%d" % number for number in range(MAX_WAITING_REQUESTS + 1)]
    calls = b"".join(with_length(body_of(number.decode())) for number in numbers)
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        connection.sendall(calls)
        assert statuses(split_answers(read_all(connection))) == [200] * len(numbers)
    assert [call.texts[0] for call in embedder.calls] == numbers


def test_waiting_requests_are_bounded(port: int, embedder: FakeEmbedder) -> None:
    embedder.pause_seconds = 0.01
    answers = converse(port, with_length(body_of()) + GET * 10_000)
    assert statuses(answers) == [200] * (MAX_WAITING_REQUESTS + 1) + [400]
    assert f"more than {MAX_WAITING_REQUESTS} requests" in answers[-1].json["message"]


def ask_for_much(port: int) -> socket.socket:
    """A connection that has asked for more than the buffers hold."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE_SECONDS)
    connection.connect(("127.0.0.1", port))
    body = json.dumps({"model": MODEL, "input": ["a"] * 256}).encode()
    connection.sendall(with_length(body))
    return connection


@pytest.fixture(scope="module")
def generous_port() -> Iterator[int]:
    """A gateway that takes 256 texts and waits half a second for its answers to be read."""
    with serve_app(create_app(Settings(api_keys=KEYS), EMBEDDER), reading=0.5) as port:
        yield port


def test_an_answer_that_nobody_reads_is_given_up(generous_port: int) -> None:
    with ask_for_much(generous_port) as connection:
        time.sleep(1)
        received = read_all(connection)
    announced = re.search(rb"content-length: (\d+)", received)
    assert announced is not None
    assert len(received) < int(announced[1])


def test_an_answer_may_be_read_slowly(generous_port: int) -> None:
    with ask_for_much(generous_port) as connection:
        time.sleep(0.2)
        received = connection.recv(65536)
        announced = re.search(rb"content-length: (\d+)", received)
        assert announced is not None
        while len(received) < int(announced[1]):
            part = connection.recv(2**20)
            assert part
            received += part
