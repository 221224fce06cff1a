"""The gateway on a socket: the app, what it asks Triton with, and uvicorn around it."""

import socket
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn

from gateway.app import create_app
from gateway.inference.lanes import Windows
from gateway.inference.triton import TritonEmbedder
from gateway.rest.http_protocol import HttpProtocol
from gateway.rest.patience import Patience
from gateway.settings import Settings


def serve(settings: Settings, listener: socket.socket) -> None:
    """Runs the app on an open socket until SIGINT or SIGTERM; calls in flight are finished."""
    embedder = TritonEmbedder(
        settings.triton_address,
        chunk_tokens=settings.chunk_tokens,
        chunk_texts=settings.chunk_texts,
        windows=Windows(
            bulk=settings.bulk_window_tokens,
            interactive=settings.interactive_window_tokens,
            small_call=settings.small_call_tokens,
        ),
    )
    patience = Patience(settings.keep_alive_seconds, reading=settings.timeout_seconds)
    protocol: Any = partial(HttpProtocol, patience=patience)  # uvicorn asks for a class
    config = uvicorn.Config(
        create_app(settings, embedder),
        http=protocol,
        log_config=None,
        lifespan="on",
        ws="none",
        access_log=False,  # gateway.access has the request id and no path
        server_header=False,
        proxy_headers=False,  # whom a caller claims to speak for must not buy a share of a lane
        timeout_graceful_shutdown=int(settings.timeout_seconds) + 1,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises: OSError with one sentence for the operator.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
