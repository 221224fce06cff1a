"""What every request goes through, in the process and over a real connection."""

import asyncio
import hashlib
import http.client
import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from gateway import Settings, create_app
from gateway.errors import HungUp, InferenceFailed
from gateway.rest.middleware import run_unless_hung_up
from tests.fakes import MODEL, FakeEmbedder
from tests.gateway.serving import serve_app
from tests.gateway.wire import wait_until

BODY = json.dumps({"model": MODEL, "input": "x"}).encode()


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/", "/nope", "/v1/embeddings"], ids=["200", "404", "405"])
async def test_every_answer_has_an_id_and_a_time(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.headers["x-request-id"].startswith("req_")
    assert float(response.headers["x-total-time"]) >= 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("sent", "is_echoed"),
    [(b"abc-1.2:3_4", True), (b"a b", False), (b"x" * 129, False), ("ü".encode(), False)],
)
async def test_a_sane_request_id_is_echoed(
    client: httpx.AsyncClient, sent: bytes, is_echoed: bool
) -> None:
    response = await client.get("/", headers=[(b"x-request-id", sent)])
    assert is_echoed is (response.headers["x-request-id"].encode() == sent)


@pytest.mark.anyio
async def test_the_log_has_the_route_and_no_path_text_or_key(
    client: httpx.AsyncClient, embedder: FakeEmbedder, caplog: pytest.LogCaptureFixture
) -> None:
    embedder.failure = InferenceFailed("it broke")
    with caplog.at_level(logging.DEBUG):
        await client.post("/v1/embeddings", json={"model": MODEL, "input": "a secret text"})
        await client.get("/secret%0Apath")
    (failed, _unknown) = [r.message for r in caplog.records if r.name == "gateway.access"]
    assert failed.startswith("POST create_embeddings 500 ")
    assert f" key={hashlib.sha256(b'KEY').hexdigest()[:8]} " in failed
    assert " key=- " in _unknown
    ours = "".join(r.getMessage() for r in caplog.records if r.name.startswith("gateway"))
    assert "it broke" in ours
    assert "secret" not in ours
    assert "KEY" not in ours


@pytest.fixture
def slow() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def port(slow: FakeEmbedder) -> Iterator[int]:
    settings = Settings(auth="off", max_body_bytes=1_000_000)
    with serve_app(create_app(settings, slow)) as port:
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/health/ready").is_success)
        yield port


def test_hanging_up_cancels_the_work(port: int, slow: FakeEmbedder) -> None:
    slow.pause_seconds = 30
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + BODY)
        wait_until(lambda: len(slow.calls) == 1)
    wait_until(lambda: slow.cancelled == 1)
    metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'route="create_embeddings",status="499"' in metrics


@pytest.mark.anyio
async def test_a_deadline_is_no_hang_up() -> None:
    async def wait() -> Message:
        await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_unless_hung_up(Request({"type": "http"}, wait), asyncio.sleep(30))


@pytest.mark.anyio
async def test_the_task_of_a_call_that_was_hung_up_can_go_on() -> None:
    async def hang_up() -> Message:
        return {"type": "http.disconnect"}

    task = asyncio.current_task()
    assert task is not None
    cancels_before = task.cancelling()
    with pytest.raises(HungUp):
        async with asyncio.timeout(30):
            await run_unless_hung_up(Request({"type": "http"}, hang_up), asyncio.sleep(30))
    assert task.cancelling() == cancels_before


def test_a_body_too_large_is_answered_while_it_is_sent(port: int) -> None:
    response = httpx.post(f"http://127.0.0.1:{port}/v1/embeddings", content=b" " * 5_000_000)
    assert response.status_code == 413


def test_a_body_of_unannounced_size_is_bounded_as_well(port: int) -> None:
    parts = (b" " * 100_000 for _ in range(50))
    response = httpx.post(f"http://127.0.0.1:{port}/v1/embeddings", content=parts)
    assert response.status_code == 413


def upload(port: int, announced: int) -> socket.socket:
    """A body that does not come."""
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n"
    connection.sendall(head.encode() + b"{")
    return connection


def held_bytes(port: int) -> int:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    found = re.search(r'gateway_held_bytes\{key="anybody"\} (\S+)', text)
    return int(float(found[1])) if found else 0


def test_bodies_that_do_not_come_leave_room_for_questions() -> None:
    settings = Settings(auth="off", max_body_bytes=100_000, max_inflight_bytes=1_000_000)
    with serve_app(create_app(settings, FakeEmbedder())) as port, ExitStack() as stack:
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/health/ready").is_success)
        uploads = [stack.enter_context(upload(port, 100_000)) for _ in range(20)]
        wait_until(lambda: held_bytes(port) == 500_000)
        heads = [connection.recv(12) for connection in uploads[5:]]
        assert [b"HTTP/1.1 429"] * 15 == heads
        url = f"http://127.0.0.1:{port}/v1/embeddings"
        assert httpx.post(url, content=BODY).status_code == 200
        stack.close()
        wait_until(lambda: held_bytes(port) == 0)


def test_a_body_of_unannounced_size_is_held_as_it_comes() -> None:
    settings = Settings(auth="off", max_body_bytes=100_000, max_inflight_bytes=120_000)
    with serve_app(create_app(settings, FakeEmbedder())) as port:
        url = f"http://127.0.0.1:{port}/v1/embeddings"
        with upload(port, 60_000):
            wait_until(lambda: held_bytes(port) == 60_000)
            fits, more = (iter([b" " * size]) for size in (30_000, 30_001))
            assert httpx.post(url, content=more).status_code == 429
            assert httpx.post(url, content=fits).status_code == 400


def test_who_does_not_read_keeps_his_answer_from_being_written() -> None:
    """Answers that nobody reads are memory as well."""
    body = json.dumps({"model": MODEL, "input": ["x"] * 256}).encode()
    request = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    settings = Settings(auth="off", max_inflight_bytes=8_000_000)
    app = create_app(settings, FakeEmbedder())
    with serve_app(app) as port, ExitStack() as stack:
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/health/ready").is_success)
        answers = app.state.gateway.answers
        for _ in range(8):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(request.encode() + body)
        wait_until(lambda: answers.waiting_tokens > 0)
        assert answers.in_flight_tokens <= 4_000_000
        stack.close()
        wait_until(lambda: answers.in_flight_tokens == answers.waiting_tokens == 0)


def test_a_connection_survives_an_error(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    statuses = []
    for body in (b"{", b" " * 1_000_001, BODY):
        connection.request("POST", "/v1/embeddings", body)
        response = connection.getresponse()
        statuses.append(response.status)
        response.read()
    connection.close()
    assert statuses == [400, 413, 200]
