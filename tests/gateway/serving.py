"""The app behind a real uvicorn on loopback, in a thread of the test."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from gateway.rest.http_protocol import HttpProtocol
from gateway.rest.patience import Patience


@contextmanager
def serve_app(app: ASGIApp, **patience: float) -> Iterator[int]:
    """Serves until the block ends; gives the port. `patience` are fields of Patience."""
    protocol: Any = partial(HttpProtocol, patience=Patience(**patience))
    server = uvicorn.Server(uvicorn.Config(app, http=protocol, log_config=None, access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
