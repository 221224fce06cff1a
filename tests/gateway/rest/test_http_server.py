"""HttpServer in the loop of the test: what its sockets hold when it stops."""

import asyncio
import socket
import threading
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gateway.rest.crowd import Crowd
from gateway.rest.http_protocol import HttpProtocol
from gateway.rest.http_server import HttpServer
from gateway.rest.patience import Patience
from tests.gateway.wire import PATIENCE_SECONDS, read_all, split_answers, statuses

pytestmark = pytest.mark.anyio

MOST = 60  # connections at once
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body"})


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=100)


@pytest.fixture
async def server(listener: socket.socket) -> HttpServer:
    stopping, crowd = threading.Event(), Crowd(MOST)
    protocol: Any = partial(HttpProtocol, patience=Patience(), stopping=stopping, crowd=crowd)
    config = uvicorn.Config(answer, http=protocol, lifespan="off", log_config=None)
    config.load()
    server = HttpServer(config, stopping)
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    return server


async def test_who_connected_before_it_stops_is_answered(
    server: HttpServer, listener: socket.socket
) -> None:
    """Though the loop had no turn to accept anybody."""
    waiting = [
        socket.create_connection(listener.getsockname(), PATIENCE_SECONDS) for _ in range(50)
    ]
    for connection in waiting[1:]:
        connection.sendall(GET)
    stopped = asyncio.create_task(server.shutdown([listener]))
    await asyncio.sleep(0.2)
    waiting[0].sendall(GET)  # what comes a moment later is the first request of its connection
    await stopped
    for connection in waiting:
        with connection:
            assert statuses(split_answers(read_all(connection))) == [200]


async def test_nobody_is_accepted_once_it_stops(
    server: HttpServer, listener: socket.socket
) -> None:
    address = listener.getsockname()
    await server.shutdown([listener])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE_SECONDS)


async def connect(listener: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*listener.getsockname())


async def test_who_is_idle_for_longest_gives_way_to_a_newcomer(
    server: HttpServer, listener: socket.socket
) -> None:
    connections = [await connect(listener) for _ in range(MOST)]
    reader, writer = connections[0]  # idle since the others have come
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    newcomer, new_writer = await connect(listener)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await connections[1][0].readexactly(1)
    for asked, asking in (connections[0], connections[2], (newcomer, new_writer)):
        asking.write(GET)
        assert (await asked.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    for _, writer in (*connections, (newcomer, new_writer)):
        writer.close()
    await server.shutdown([listener])
