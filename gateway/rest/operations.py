"""A port of their own for metrics and health: beside the gateway's, in the same event loop.

It is there before the gateway accepts its first call, and until the last one is answered: whoever
looks sees a gateway that ends as one that is not ready, and not as one that is gone.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from gateway.rest.http_protocol import HttpProtocol
from gateway.rest.http_server import HttpServer
from gateway.rest.patience import Patience

# Seconds for the answers that are on their way when everything ends.
END_SECONDS = 1


class OperationsServer(HttpServer):
    """Plain HTTP, whatever the gateway speaks; signals are for the gateway's server.

    listeners  none, and it does nothing
    """

    def __init__(self, app: ASGIApp, listeners: Sequence[socket.socket]) -> None:
        protocol: Any = partial(HttpProtocol, patience=Patience())  # uvicorn asks for a class
        config = uvicorn.Config(
            app,
            http=protocol,
            log_config=None,
            lifespan="off",
            ws="none",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=END_SECONDS,
        )
        super().__init__(config, threading.Event())
        self._listeners = list(listeners)
        self._serving: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await uvicorn.Server.shutdown(self, sockets)  # at once: a probe that is lost comes again

    def start(self) -> None:
        if self._listeners:
            self._serving = asyncio.create_task(self.serve(self._listeners))

    async def stop(self) -> None:
        self.should_exit = True
        if self._serving is not None:
            await self._serving


class AccompaniedServer(HttpServer):
    """The gateway's server, with that of operations around it."""

    def __init__(self, operations: OperationsServer, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._operations = operations

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._operations.start()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._operations.stop()
