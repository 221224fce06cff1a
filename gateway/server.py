"""The gateway on a socket: the app, what it asks Triton with, and uvicorn around it."""

import gc
import logging
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette

from gateway.app import create_app, create_operations
from gateway.errors import MalformedRequest
from gateway.inference.channels import choose_channels
from gateway.inference.triton import TritonEmbedder
from gateway.inference.windows import Windows
from gateway.listeners import open_listeners
from gateway.rest.crowd import Crowd, raise_limit
from gateway.rest.http_protocol import HttpProtocol
from gateway.rest.operations import AccompaniedServer, OperationsServer
from gateway.rest.patience import Patience
from gateway.settings import Settings
from gateway.telemetry.tracing import open_tracing

# That came and stayed, before Python's collector looks for cycles; its own choice is 700.
COLLECT_OBJECTS = 10_000

logger = logging.getLogger(__name__)


def listen_to_signals() -> None:
    """SIGINT, SIGTERM and SIGHUP end this process as Ctrl-C does.

    SIGINT also where it was ignored: shells start jobs in the background so, which nothing else
    would tell to end. An ignored SIGHUP is somebody's `nohup`.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGINT))


def create_gateway(settings: Settings) -> Starlette:
    """The app in front of the Tritons that the settings name.

    Raises: SettingsError, OSError.
    """
    embedder = TritonEmbedder(
        settings.triton_address,
        chunk_tokens=settings.chunk_tokens,
        chunk_texts=settings.chunk_texts,
        windows=Windows(
            bulk=settings.bulk_window_tokens,
            interactive=settings.interactive_window_tokens,
            small_call=settings.small_call_tokens,
        ),
        channels=choose_channels(settings),
    )
    return create_app(settings, embedder, open_tracing(os.environ))


def open_operations(settings: Settings) -> list[socket.socket]:
    """Listening sockets of the port for operations, none if there is none.

    Raises: OSError with one sentence for the operator.
    """
    if not settings.operations_port:
        return []
    return open_listeners(settings.operations_host or settings.host, settings.operations_port)


def spare_the_collector() -> None:
    """Lets Python's collector of cycles pass over all that is there now, and come less often.

    A call leaves it nothing, and what was imported stays; looking through that again and again
    takes 20 us of a call.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_OBJECTS)


def serve(
    app: Starlette,
    settings: Settings,
    listeners: list[socket.socket],
    operations: Sequence[socket.socket] = (),
) -> None:
    """Runs the app on open sockets until SIGINT or SIGTERM; calls in flight are finished.

    A second signal cuts them off.

    operations  sockets of the port for operations, if there is one
    """
    patience = Patience(settings.keep_alive_seconds, reading=settings.timeout_seconds)
    stopping = app.state.gateway.stopping
    certificate = app.state.gateway.certificate
    tls = certificate.context if certificate else None
    crowd = Crowd(raise_limit())
    protocol: Any = partial(  # uvicorn asks for a class
        HttpProtocol,
        patience=patience,
        stopping=stopping,
        crowd=crowd,
        count_refusal=app.state.gateway.metrics.rejected(MalformedRequest.code, "").inc,
    )
    config = uvicorn.Config(
        app,
        http=protocol,
        log_config=None,
        lifespan="on",
        ws="none",
        access_log=False,  # gateway.access has the request id and no path
        server_header=False,
        proxy_headers=False,  # whom a caller claims to speak for must not buy a share of a lane
        timeout_graceful_shutdown=int(settings.timeout_seconds) + 1,
    )
    for listener in listeners:
        logger.info("listening on %s port %d", *listener.getsockname()[:2])
    for listener in operations:
        logger.info("operations on %s port %d", *listener.getsockname()[:2])
    beside = OperationsServer(create_operations(app), operations)
    spare_the_collector()
    with suppress(KeyboardInterrupt):
        AccompaniedServer(beside, config, stopping, settings.drain_seconds, tls).run(
            sockets=listeners
        )
