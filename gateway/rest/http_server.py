"""HttpServer: uvicorn's, with an end that no client notices.

    signal ──▶ unready, answers say `Connection: close` ──drain──▶ nothing new ──▶ all answered
      └─ again: whoever is left is cut off

Whoever spreads calls over several gateways needs a while to notice that this one is not ready; for
that long everything is still answered. Then a connection ends behind its answer, and soon if none
is owed: its next request may be on its way.
"""

import asyncio
import logging
import socket
import ssl
import sys
import threading
import time
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from gateway.rest.closing import HANDSHAKE_SECONDS, put_off_newcomers

# Within it a second signal is the first one over another way: `timeout`, and terminals that close,
# send it to a process and to its group.
ECHO_SECONDS = 0.5
# For a whole handshake of TLS; who speaks plain HTTP fails it at once.
HELLO_SECONDS = 10.0
# For the last bytes of a connection of TLS to be read; PatientProtocol waits less where it can.
GOODBYE_SECONDS = 60.0

logger = logging.getLogger(__name__)


class HttpServer(uvicorn.Server):
    """On sockets that are open already.

    stopping       set at the first signal, for readiness and connections to see
    drain_seconds  between that and the last connection that is accepted
    tls            None is plain HTTP
    """

    def __init__(
        self,
        config: uvicorn.Config,
        stopping: threading.Event,
        drain_seconds: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._drain_seconds = drain_seconds
        self._tls: dict[str, Any] = {}
        if tls:
            self._tls = {
                "ssl": tls,
                "ssl_handshake_timeout": HELLO_SECONDS,
                "ssl_shutdown_timeout": config.timeout_graceful_shutdown or GOODBYE_SECONDS,
            }
        self._signalled: float | None = None
        self._is_draining = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self._loop = asyncio.get_running_loop()
        self.servers = [
            await self._loop.create_server(
                self._connect, sock=listener, backlog=self.config.backlog, **self._tls
            )
            for listener in sockets or []
        ]
        self.started = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._signalled is None:
            self._signalled = time.monotonic()
            self._stopping.set()
            self._captured_signals.append(sig)
        elif self.started and time.monotonic() - self._signalled > ECHO_SECONDS:
            self._drain_seconds = 0.0
            self._loop.call_soon_threadsafe(self._cut_off)

    async def on_tick(self, counter: int) -> bool:
        if self._signalled is not None:
            if not self._is_draining:
                logger.info("stopping: unready, and at work for %g s more", self._drain_seconds)
                self._is_draining = True
            self.should_exit |= time.monotonic() - self._signalled >= self._drain_seconds
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends every connection behind what it owes."""
        self._stopping.set()
        logger.info("stopping: %d calls are in flight", len(self.server_state.tasks))
        for listener in sockets or []:
            put_off_newcomers(listener)
        await asyncio.sleep(HANDSHAKE_SECONDS)
        for _ in range(2):  # who has connected is accepted, and what has arrived is read
            await asyncio.sleep(0)
        await super().shutdown(sockets)

    def _connect(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _cut_off(self) -> None:
        """Ends at once: calls that run lose their clients, and are dropped as such calls are."""
        self.should_exit = True
        connections: list[Any] = list(self.server_state.connections)
        logger.warning("stopping at once: %d connections are cut off", len(connections))
        for connection in connections:
            connection.transport.abort()
