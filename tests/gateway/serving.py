"""The app behind a real uvicorn on loopback, in a thread of the test."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from gateway.rest.http_protocol import HttpProtocol


@contextmanager
def serve_app(app: ASGIApp) -> Iterator[int]:
    """Serves until the block ends; gives the port."""
    server = uvicorn.Server(
        uvicorn.Config(app, http=HttpProtocol, log_config=None, access_log=False)
    )
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
