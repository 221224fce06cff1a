"""Clients that mean harm or are broken: the service stays up, small and right."""

import asyncio
import json
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from export.checkpoint import DEFAULT_CHECKPOINT
from tests.serving import API_KEY, PATIENCE_SECONDS, Service

pytestmark = pytest.mark.triton

MIB = 2**20
# Of the gateway while these tests run: a few bodies of 4 MiB, each held two or three times.
MAX_GROWTH_BYTES = 128 * MIB
REFUSALS = range(400, 500)
HEAD = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: {API_KEY}\r\n".encode()
CALL = json.dumps({"model": DEFAULT_CHECKPOINT, "input": ["bread", "water"]}).encode()


def post(content: bytes, headers: bytes = b"") -> bytes:
    """A request as it goes over the wire; the connection ends with the answer."""
    length = f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
    return HEAD + headers + length + content


def memory_bytes(service: Service, what: str) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    kibibytes = re.search(rf"{what}:\s+(\d+) kB", status)
    assert kibibytes is not None
    return int(kibibytes[1]) * 1024


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    """A client of the service, whose gateway did not grow by much when the tests are over."""
    with httpx.Client(
        base_url=service.url, headers=service.headers, timeout=PATIENCE_SECONDS
    ) as client:
        Path(f"/proc/{service.process.pid}/clear_refs").write_text("5")  # the peak begins anew
        before = memory_bytes(service, "VmRSS")
        yield client
        assert memory_bytes(service, "VmHWM") - before < MAX_GROWTH_BYTES


@pytest.fixture(autouse=True)
def unharmed(client: httpx.Client, service: Service) -> Iterator[None]:
    """The same vectors before and after, from the same process, and nothing left behind."""
    before = client.post("/v1/embeddings", content=CALL).json()["data"]
    yield
    assert before == client.post("/v1/embeddings", content=CALL).json()["data"]
    assert service.process.poll() is None
    wait_until_idle(client)


def wait_until_idle(client: httpx.Client) -> None:
    """Until the question itself is the only request in flight."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "gateway_in_flight_requests 1.0" not in client.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def connect(service: Service) -> socket.socket:
    url = httpx.URL(service.url)
    return socket.create_connection((url.host, url.port or 80), PATIENCE_SECONDS)


def exchange(service: Service, sent: bytes, *, half_close: bool = False) -> bytes:
    """What comes back for the bytes, until the other side closes."""
    received = b""
    with connect(service) as connection, suppress(ConnectionError):
        connection.sendall(sent)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            received += part
    return received


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_body_above_the_limit_in_chunks_is_refused(client: httpx.Client) -> None:
    parts = (b" " * MIB for _ in range(33))
    response = client.post("/v1/embeddings", content=parts)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "payload_too_large"


def test_an_announced_body_of_a_terabyte_is_refused_unread(service: Service) -> None:
    sent = HEAD + b"Content-Length: 1099511627776\r\nConnection: close\r\n\r\n{"
    assert status_of(exchange(service, sent)) == 413


@pytest.mark.parametrize("text", ["é" * 8000, "bread " * 2700], ids=["one-word", "words"])
def test_4_megabytes_of_text_are_answered(client: httpx.Client, text: str) -> None:
    texts = [text] * 256
    started = time.monotonic()
    response = client.post(
        "/v1/embeddings",
        content=orjson.dumps(
            {"model": DEFAULT_CHECKPOINT, "input": texts, "encoding_format": "base64"}
        ),
    )
    assert time.monotonic() - started < PATIENCE_SECONDS
    if response.status_code == 504:  # a slow machine; the deadline is kept
        assert response.json()["error"]["code"] == "timeout"
        return
    assert response.status_code == 200, response.text
    assert len(response.json()["data"]) == 256


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b'"input": "a\\u0000b"', 200),
        (b'"input": "\\ud83c\\udf5e"', 200),
        (b'"input": "x", "\\ud800": 1', 200),
        (b'"input": "x", "user": ' + b"[" * 800 + b"]" * 800, 200),
        (b'"input": "x", "dimensions": 384.0', 200),
        (b'"input": ["x"], "input": 5', 422),
        (b'"input": "x", "dimensions": 99999999999999999999', 422),
        (b'"input": "x", "dimensions": ' + b"9" * 100_000, 400),
        (b'"input": "x", "dimensions": 1e999', 400),
        (b'"input": "x", "encoding_format": [' + b'"float",' * 100_000 + b'"int8"]', 200),
        (b'"input": [' + b'"",' * 1_000_000 + b'""]', 422),
        (b'"input": [' + b"0," * 2_000_000 + b"0]", 422),
        (b'"input": "x", "prompt": "' + b"p" * 4_000_000 + b'"', 422),
    ],
    ids=[
        "nul", "pair", "half-a-pair-as-a-name", "800-arrays", "zero-fraction", "twice",
        "20-digits", "100000-digits", "1e999", "100001-formats", "1000001-texts",
        "2000001-token-ids", "long-prompt",
    ],
)  # fmt: skip
def test_strange_json_is_answered(client: httpx.Client, fields: bytes, status: int) -> None:
    content = f'{{"model": "{DEFAULT_CHECKPOINT}", '.encode() + fields + b"}"
    response = client.post("/v1/embeddings", content=content)
    assert status == response.status_code
    assert response.headers["content-type"] == "application/json"
    assert len(response.content) < MIB


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\xff\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (post(CALL, b"no colon\r\n"), 400),
        (post(CALL, b"x: " + b"a" * 300_000 + b"\r\n"), 400),
        (post(CALL).replace(b"/v1/embeddings", b"/" + b"a" * 300_000), 400),
        (post(CALL, b"x-request-id: \xff\x01; drop\r\n"), 400),
        (post(CALL, b"x-request-id: \xff; drop\r\n"), 200),
        (post(CALL).replace(b": KEY", b": K\xff\xc3"), 401),
        (post(CALL).replace(b": KEY", b": Bearer " + b"K" * 30_000), 401),
        (post(CALL).replace(b"/v1/", b"/%00%ff/../"), 404),
        (post(CALL, b"Content-Type: text/\xff\r\n"), 200),
        (post(CALL, b"Content-Encoding: gzip\r\n"), 400),
        (post(CALL, b"Content-Encoding: \xff\r\n"), 415),
    ],
    ids=[
        "tls", "http2", "negative-length", "two-lengths", "no-colon", "long-header", "long-path",
        "control-character", "request-id", "key-not-ascii", "long-key", "path", "type", "damaged",
        "encoding",
    ],
)  # fmt: skip
def test_garbage_around_the_body_is_answered(service: Service, sent: bytes, status: int) -> None:
    head, _, content = exchange(service, sent).partition(b"\r\n\r\n")
    assert status == status_of(head)
    assert b"content-type: application/json" in head
    assert b"x-request-id: req_" in head
    assert json.loads(content)


def test_headers_without_end_are_cut_off(service: Service) -> None:
    before = memory_bytes(service, "VmRSS")
    exchange(service, HEAD + b"x: " + b"a" * 200 * MIB)
    assert memory_bytes(service, "VmHWM") - before < MAX_GROWTH_BYTES


def test_a_half_closed_connection_has_an_answer_or_none(service: Service) -> None:
    answer = exchange(service, post(CALL), half_close=True)
    assert answer == b"" or status_of(answer) == 200


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["a-head", "half-a-body", "all"])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_fifty_callers_hang_up(service: Service, share: float, reset: bool) -> None:
    texts = ["the oven is warm " * 40] * 64
    content = json.dumps({"model": DEFAULT_CHECKPOINT, "input": texts}).encode()
    sent = post(content)
    length = len(sent) - len(content) + round(share * len(content))
    for _ in range(50):
        with connect(service) as connection:
            connection.sendall(sent[:length])
            if reset:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


@pytest.mark.parametrize("seconds", [0.05, 1.0])
def test_what_hung_up_callers_asked_for_does_not_occupy_triton(
    service: Service, client: httpx.Client, seconds: float
) -> None:
    """Half a million tokens, in Triton's queue or on their way, then nobody to read the answers."""
    texts = ["the oven is warm " * 40] * 64
    content = json.dumps({"model": DEFAULT_CHECKPOINT, "input": texts}).encode()
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(connect(service)).sendall(post(content))
        time.sleep(seconds)
    started = time.monotonic()
    assert client.post("/v1/embeddings", content=CALL).status_code == 200
    assert time.monotonic() - started < PATIENCE_SECONDS / 4


def test_200_open_connections_leave_room_for_others(service: Service, client: httpx.Client) -> None:
    with ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(connect(service))
            connection.sendall(post(CALL)[: number % 100])
        assert client.post("/v1/embeddings", content=CALL).status_code == 200


@pytest.mark.anyio
async def test_200_callers_at_once_are_served_right(service: Service) -> None:
    def call(number: int) -> dict[str, Any]:
        return {"model": DEFAULT_CHECKPOINT, "input": f"loaf {number}", "encoding_format": "int8"}

    async with httpx.AsyncClient(
        base_url=service.url,
        headers=service.headers,
        timeout=PATIENCE_SECONDS,
        limits=httpx.Limits(max_connections=200),
    ) as client:
        together = await asyncio.gather(
            *(client.post("/v1/embeddings", json=call(number)) for number in range(200))
        )
        alone = [await client.post("/v1/embeddings", json=call(number)) for number in range(200)]
    assert {200} == {response.status_code for response in together}
    for one, other in zip(alone, together, strict=True):
        expected = one.json()["data"][0]["embedding"]
        found = other.json()["data"][0]["embedding"]
        assert max(abs(a - b) for a, b in zip(expected, found, strict=True)) <= 1
