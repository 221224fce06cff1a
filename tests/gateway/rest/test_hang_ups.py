"""Hang-ups as our own server tells of them; what a call does then is in test_middleware."""

import asyncio
import json
import socket

import pytest
from starlette.requests import Request
from starlette.types import Message

from gateway import Settings, create_app
from gateway.errors import HungUp
from gateway.rest import hang_ups
from gateway.rest.hang_ups import HangUp
from gateway.rest.middleware import run_unless_hung_up
from tests.fakes import MODEL, FakeEmbedder
from tests.gateway.serving import serve_app
from tests.gateway.wire import wait_until, with_length

BODY = json.dumps({"model": MODEL, "input": "x"}).encode()


@pytest.fixture
def hang_up() -> HangUp:
    return HangUp(read_on=lambda: None)


@pytest.fixture
def request_of_ours(hang_up: HangUp) -> Request:
    """As our server makes it: nobody may read on in it."""

    async def receive() -> Message:
        raise AssertionError

    return Request({"type": "http", "state": {hang_ups.STATE: hang_up}}, receive)


@pytest.mark.anyio
async def test_what_is_told_ends_the_work(request_of_ours: Request, hang_up: HangUp) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(hang_up.happen)
    with pytest.raises(HungUp):
        async with asyncio.timeout(30):
            await run_unless_hung_up(request_of_ours, asyncio.sleep(30))
    assert not task.cancelling()


@pytest.mark.anyio
async def test_who_has_gone_before_is_not_worked_for(
    request_of_ours: Request, hang_up: HangUp
) -> None:
    hang_up.happen()
    with pytest.raises(HungUp):
        await run_unless_hung_up(request_of_ours, asyncio.sleep(30))


@pytest.mark.anyio
async def test_a_deadline_stays_one(request_of_ours: Request, hang_up: HangUp) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_unless_hung_up(request_of_ours, asyncio.sleep(30))
    hang_up.happen()  # it is over, nothing is left to cancel


@pytest.mark.anyio
async def test_who_cancels_is_not_taken_for_the_client(request_of_ours: Request) -> None:
    task = asyncio.create_task(run_unless_hung_up(request_of_ours, asyncio.sleep(30)))
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


def test_it_is_noticed_behind_a_large_body_of_a_second_call() -> None:
    """Of a body above 64 KiB that comes while it is waited for uvicorn reads no further."""
    embedder = FakeEmbedder()
    app = create_app(Settings(auth="off", max_body_bytes=100_000), embedder)
    ledger = app.state.gateway.ledger
    head, _, body = with_length(BODY + b" " * 70_000).partition(b"\r\n\r\n")
    with serve_app(app) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(with_length(BODY))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        embedder.pause_seconds = 30.0
        connection.sendall(head + b"\r\n\r\n")
        wait_until(lambda: any(ledger.held_bytes().values()))
        connection.sendall(body)
        wait_until(lambda: len(embedder.calls) == 2)
        connection.close()
        wait_until(lambda: embedder.cancelled == 1)
