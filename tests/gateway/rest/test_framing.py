"""Where requests begin and end: one answer each, and no byte of a body taken for a request."""

import json
import socket
from collections.abc import Iterator

import pytest

from gateway import Settings, create_app
from tests.fakes import FakeEmbedder
from tests.gateway.conftest import KEYS
from tests.gateway.serving import serve_app
from tests.gateway.wire import (
    FAREWELL,
    HEAD,
    PATIENCE_SECONDS,
    body_of,
    chunked,
    converse,
    read_all,
    statuses,
    with_length,
)

# Would be answered with 200 if it were read as a request.
SMUGGLED = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "tls": b"Upgrade: TLS/1.0\r\nConnection: upgrade\r\n",
    "several": b"Connection: keep-alive, upgrade\r\nUpgrade: h2c, websocket\r\n",
    "nameless": b"Connection: upgrade\r\nUpgrade:\r\n",
    "half": b"Connection: upgrade\r\n",
    "none": b"",
}


EMBEDDER = FakeEmbedder()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """One gateway for all: its end takes longer than the tests."""
    settings = Settings(api_keys=KEYS, max_body_bytes=500_000)
    with serve_app(create_app(settings, EMBEDDER)) as port:
        yield port


@pytest.fixture
def embedder() -> FakeEmbedder:
    EMBEDDER.calls.clear()
    EMBEDDER.pause_seconds = 0.0
    return EMBEDDER


@pytest.fixture(params=OFFERS)
def offer(request: pytest.FixtureRequest) -> bytes:
    """Headers that offer another protocol."""
    return OFFERS[request.param]


def texts(embedder: FakeEmbedder) -> list[bytes]:
    """What was embedded, in order."""
    return [text for call in embedder.calls for text in call.texts]


@pytest.mark.parametrize("write", [with_length, chunked])
@pytest.mark.parametrize("size", [1, 300_000], ids=["one-packet", "many-packets"])
def test_an_offer_does_not_disturb_the_body(
    port: int, embedder: FakeEmbedder, offer: bytes, write: type, size: int
) -> None:
    request = write(body_of("a" * size), offer)
    assert statuses(converse(port, request + FAREWELL)) == [200, 200]
    assert texts(embedder) == [b"a" * size]


@pytest.mark.parametrize("write", [with_length, chunked])
def test_the_body_of_an_offer_may_come_in_later_packets(
    port: int, embedder: FakeEmbedder, offer: bytes, write: type
) -> None:
    head, _, body = write(body_of("later"), offer).partition(b"\r\n\r\n")
    parts = [head + b"\r\n\r\n", *(bytes([byte]) for byte in body), FAREWELL]
    assert statuses(converse(port, *parts, pause_seconds=0.001)) == [200, 200]
    assert texts(embedder) == [b"later"]


def test_an_offer_may_come_byte_by_byte(port: int, embedder: FakeEmbedder) -> None:
    request = with_length(body_of(), OFFERS["h2c"])
    answers = converse(port, *(bytes([byte]) for byte in request), FAREWELL)
    assert statuses(answers) == [200, 200]


@pytest.mark.parametrize("write", [with_length, chunked])
def test_a_body_that_looks_like_a_request_is_none(port: int, offer: bytes, write: type) -> None:
    request = write(SMUGGLED * 3, offer)
    assert statuses(converse(port, request, FAREWELL)) == [400, 200]
    head, _, body = request.partition(b"\r\n\r\n")
    parts = (head + b"\r\n\r\n", body[:20], body[20:], FAREWELL)
    assert statuses(converse(port, *parts, pause_seconds=0.01)) == [400, 200]


def test_requests_behind_an_offer_are_answered_in_order(
    port: int, embedder: FakeEmbedder, offer: bytes
) -> None:
    get = b"GET /health HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n"
    requests = [
        with_length(body_of("1"), offer),
        get,
        chunked(body_of("2"), offer, trailers=b"X-Sum: 1\r\n"),
        with_length(b"", offer),
        get,
        with_length(body_of("3"), offer),
    ]
    expected = [200, 200, 200, 400, 200, 200, 200]
    assert statuses(converse(port, b"".join(requests) + FAREWELL)) == expected
    assert texts(embedder) == [b"1", b"2", b"3"]
    one_by_one = converse(port, *requests, FAREWELL, pause_seconds=0.01)
    assert statuses(one_by_one) == expected


def test_a_get_with_an_offer_may_have_a_body(port: int, offer: bytes) -> None:
    head = b"GET /health HTTP/1.1\r\nHost: x\r\n" + offer
    request = head + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    assert statuses(converse(port, request + FAREWELL)) == [200, 200]


def test_an_offer_of_http_1_0_is_answered_and_closed(port: int, embedder: FakeEmbedder) -> None:
    request = with_length(body_of(), OFFERS["h2c"]).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert statuses(converse(port, request + SMUGGLED)) == [200]
    assert texts(embedder) == [b"x"]


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: -2\r\n",
        b"Content-Length: 0x2\r\n",
        b"Content-Length: 2 2\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: 18446744073709551618\r\n",
        b"Content-Length:\r\n 2\r\n",
        b"Content-Length: 2\nX: y\r\n",
        b"Content-Length: 2\rX: y\r\n",
        b"Content-Length : 2\r\n",
        b"Content-Length\x00: 2\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding: chunked;q=1\r\n",
        b'Transfer-Encoding: "chunked"\r\n',
        b"Transfer-Encoding:\r\n chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\r\n",
        b" Transfer-Encoding: chunked\r\n",
        b"X: a\r\n folded\r\nContent-Length: 2\r\n",
        b"X: a\x00b\r\nContent-Length: 2\r\n",
        b": nameless\r\nContent-Length: 2\r\n",
        b"no colon\r\nContent-Length: 2\r\n",
        b"X: y\n\nContent-Length: 2\r\n",
    ],
    ids=lambda framing: framing.decode("latin-1").encode("unicode_escape").decode(),
)
@pytest.mark.parametrize("offered", [b"", OFFERS["h2c"]], ids=["plain", "h2c"])
def test_a_doubtful_length_is_one_refusal_and_the_end(
    port: int, embedder: FakeEmbedder, framing: bytes, offered: bytes
) -> None:
    answers = converse(port, HEAD + offered + framing + b"\r\n{}" + SMUGGLED + FAREWELL)
    assert statuses(answers) == [400]
    assert b"connection: close" in answers[0].head
    assert answers[0].json["error"]["code"] == "invalid_http"
    assert texts(embedder) == []


@pytest.mark.parametrize(
    "chunk",
    [
        b"zz\r\n",
        b"0x2\r\n{}\r\n",
        b"-2\r\n{}\r\n",
        b"2 \r\n{}\r\n",
        b"2\n{}\r\n",
        b"2;a\n{}\r\n",
        b"\r\n",
        b"2\r\n{}xx\r\n",
        b"1\r\n{}\r\n",
        b"2\r\n{}\n",
        b"10000000000000002\r\n{}\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
    ],
    ids=lambda chunk: chunk.decode("latin-1").encode("unicode_escape").decode(),
)
@pytest.mark.parametrize("offered", [b"", OFFERS["h2c"]], ids=["plain", "h2c"])
def test_a_doubtful_chunk_is_one_refusal_and_the_end(
    port: int, embedder: FakeEmbedder, chunk: bytes, offered: bytes
) -> None:
    head = HEAD + offered + b"Transfer-Encoding: chunked\r\n\r\n"
    assert statuses(converse(port, head + chunk + SMUGGLED + FAREWELL)) == [400]
    assert texts(embedder) == []


@pytest.mark.parametrize(
    "line",
    [
        b"POST /v1/embeddings HTTP/2.0",
        b"POST /v1/embeddings HTTP/0.9",
        b"POST /v1/embeddings HTTP/1.2",
        b"POST /v1/embeddings http/1.1",
        b"POST /v1/embeddings",
        b"post /v1/embeddings HTTP/1.1",
        b"POST /v1 embeddings HTTP/1.1",
        b"POST /v1/\xe9 HTTP/1.1",
        b"POST v1/embeddings HTTP/1.1",
        b"CONNECT x:443 HTTP/1.1",
        b"CONNECT /v1/embeddings HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"EMBED /v1/embeddings HTTP/1.1",
    ],
    ids=lambda line: line.decode("latin-1"),
)
def test_a_doubtful_first_line_is_one_refusal_and_the_end(port: int, line: bytes) -> None:
    rest = b"\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    assert statuses(converse(port, line + rest + SMUGGLED + FAREWELL)) == [400]


def test_transfer_codings_are_none_of_http_1_0(port: int) -> None:
    request = chunked(body_of()).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert statuses(converse(port, request + SMUGGLED)) == [400]


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
def test_http_1_0_has_one_answer(port: int, connection: bytes) -> None:
    request = with_length(body_of(), b"Connection: %s\r\n" % connection)
    answers = converse(port, request.replace(b"HTTP/1.1", b"HTTP/1.0") + SMUGGLED)
    assert statuses(answers) == [200]
    assert b"connection: close" in answers[0].head


def test_a_request_behind_a_last_one_is_not_answered(port: int) -> None:
    assert statuses(converse(port, FAREWELL + SMUGGLED)) == [200]


def test_the_whole_address_may_stand_in_the_first_line(port: int, embedder: FakeEmbedder) -> None:
    request = with_length(body_of()).replace(b"/v1", b"http://elsewhere:1/v1")
    assert statuses(converse(port, request + FAREWELL)) == [200, 200]


def test_head_has_no_content(port: int) -> None:
    head = b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        connection.sendall(head + head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        received = read_all(connection)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"status" not in received


def test_a_body_that_nobody_reads_is_no_request(port: int) -> None:
    head = b"Host: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    starts = (b"GET /health", b"PUT /nothing", b"POST /health", b"DELETE /v1/embeddings")
    requests = [start + b" HTTP/1.1\r\n" + head + SMUGGLED for start in starts]
    assert statuses(converse(port, *requests, FAREWELL)) == [200, 404, 405, 405, 200]


@pytest.mark.parametrize("write", [with_length, chunked])
@pytest.mark.parametrize("offered", [b"", OFFERS["h2c"]], ids=["plain", "h2c"])
def test_the_body_of_a_refused_call_is_no_request(port: int, write: type, offered: bytes) -> None:
    unauthorized = write(SMUGGLED * 10, offered).replace(b"KEY", b"WRONG")
    too_large = write(SMUGGLED * 20_000, offered)
    answers = converse(port, unauthorized, too_large, unauthorized, FAREWELL)
    assert statuses(answers) == [401, 413, 401, 200]


def test_a_bad_chunk_behind_the_answer_is_the_end(port: int) -> None:
    head = HEAD.replace(b"KEY", b"WRONG") + b"Transfer-Encoding: chunked\r\n\r\n"
    answers = converse(port, head, b"zz\r\n" + SMUGGLED, FAREWELL, pause_seconds=0.1)
    assert statuses(answers) == [401]


def test_what_is_no_request_waits_for_the_answers_before_it(
    port: int, embedder: FakeEmbedder
) -> None:
    embedder.pause_seconds = 0.05
    answers = converse(port, with_length(body_of("1")) * 2 + b"nonsense\r\n\r\n" + SMUGGLED)
    assert statuses(answers) == [200, 200, 400]
    assert texts(embedder) == [b"1", b"1"]


def test_a_bad_chunk_of_a_waiting_request_waits_for_the_answers_before_it(
    port: int, embedder: FakeEmbedder
) -> None:
    embedder.pause_seconds = 0.05
    broken = HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    answers = converse(port, with_length(body_of("1")) + broken + SMUGGLED)
    assert statuses(answers) == [200, 400]
    assert texts(embedder) == [b"1"]


def test_100_continue_is_sent_when_the_body_is_wanted(port: int) -> None:
    request = with_length(body_of(), b"Expect: 100-continue\r\nConnection: close\r\n")
    head, _, body = request.partition(b"\r\n\r\n")
    answers = converse(port, head + b"\r\n\r\n", body, pause_seconds=0.1)
    assert statuses(answers) == [100, 200]
    unauthorized = head.replace(b"KEY", b"WRONG") + b"\r\n\r\n"
    assert statuses(converse(port, unauthorized)) == [401]


@pytest.mark.parametrize("offered", [b"", OFFERS["h2c"]], ids=["plain", "h2c"])
def test_trailers_are_no_headers(port: int, offered: bytes) -> None:
    # The one of the first request must not open the door to the second either.
    without_key = chunked(body_of(), offered, b"Authorization: KEY\r\nContent-Encoding: x\r\n")
    without_key = without_key.replace(b"Authorization: KEY\r\n", b"", 1)
    assert without_key.count(b"KEY") == 1
    assert statuses(converse(port, without_key * 2 + FAREWELL)) == [401, 401, 200]
    with_key = chunked(body_of(), offered, b"Content-Encoding: x\r\nX-Request-Id: no\r\n")
    answers = converse(port, with_key + FAREWELL)
    assert statuses(answers) == [200, 200]
    assert b"x-request-id: no" not in answers[1].head


def test_blank_lines_between_requests_are_nothing(port: int) -> None:
    answers = converse(port, b"\r\n\r\n" + with_length(body_of()) + b"\r\n\r\n", FAREWELL)
    assert statuses(answers) == [200, 200]


def test_a_refusal_tells_what_is_wrong(port: int) -> None:
    (answer,) = converse(port, HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n")
    assert "chunked" in answer.json["message"]
    (answer,) = converse(port, HEAD + b"Content-Length: x\r\n\r\n")
    assert "Content-Length" in json.dumps(answer.json)
