"""That an answer leaves in one piece, and one without a body, or before one, at once."""

import asyncio
import socket
from collections.abc import Iterable, Iterator

import pytest

from gateway import Settings, create_app
from gateway.rest.writing import AnswerWriter
from tests.fakes import FakeEmbedder
from tests.gateway.conftest import KEYS
from tests.gateway.serving import serve_app
from tests.gateway.wire import PATIENCE_SECONDS, body_of, with_length


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve_app(create_app(Settings(api_keys=KEYS), FakeEmbedder())) as port:
        yield port


@pytest.fixture
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        yield connection


class NotingTransport(asyncio.Transport):
    """Notes each call of the system: what a client receives may have been joined on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))


def test_only_the_first_bytes_of_a_body_go_with_a_head() -> None:
    transport = NotingTransport()
    writer = AnswerWriter(transport)
    for _ in range(2):
        for data in (b"head", b"body", b"HTTP/1.1 100 of the body"):
            writer.write(data)
        writer.end()
    assert transport.calls == [b"headbody", b"HTTP/1.1 100 of the body"] * 2


def test_a_connection_answers_call_after_call(connection: socket.socket) -> None:
    for _ in range(20):
        connection.sendall(with_length(body_of()))
        head, _, body = connection.recv(2**20).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"content-length: %d\r\n" % len(body) in head


def test_a_head_that_has_no_body_comes_without_one(connection: socket.socket) -> None:
    for _ in range(2):
        connection.sendall(b"HEAD /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: KEY\r\n\r\n")
        answer = connection.recv(2**20)
        assert answer.startswith(b"HTTP/1.1 ")
        assert answer.endswith(b"\r\n\r\n")


def test_who_asks_whether_to_go_on_is_told_before_the_answer(connection: socket.socket) -> None:
    request = with_length(body_of(), headers=b"Expect: 100-continue\r\n")
    head, _, body = request.partition(b"\r\n\r\n")
    connection.sendall(head + b"\r\n\r\n")
    assert connection.recv(2**20) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(body)
    assert connection.recv(2**20).startswith(b"HTTP/1.1 200 OK")
