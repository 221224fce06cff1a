"""python -m gateway.local, `make serve`: Triton from PyPI and the gateway together.

The gateway runs in this process and Triton in a child of it; Ctrl-C or SIGTERM ends both.
"""

import argparse
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from starlette.applications import Starlette

from gateway import server
from gateway.inference.readiness import Readiness
from gateway.listeners import open_listeners
from gateway.local.front_door import FrontDoor, announce, find_api_key, say
from gateway.local.supervisor import check_repository, in_background, keep_running
from gateway.local.triton_process import LOOPBACK, TritonProcess
from gateway.local.triton_wheel import CannotServe
from gateway.settings import Settings, SettingsError
from gateway.telemetry.logs import log_to_stderr


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C; exit code 1 and one sentence when that is not possible."""
    options = _parser().parse_args(arguments)
    server.listen_to_signals()
    try:
        serve(options)
    except (CannotServe, SettingsError, OSError) as error:
        print(f"Cannot serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before the gateway listened to signals
        pass
    say("Stopped.")
    return 0


def serve(options: argparse.Namespace) -> None:
    """Start Triton, then the gateway in front of it; returns at Ctrl-C.

    Raises: CannotServe, SettingsError, OSError with one sentence for the person at the terminal.
    """
    check_repository(options.repository)
    key = find_api_key(os.environ, options.api_key_file)
    with ExitStack() as stack:
        listeners = [stack.enter_context(one) for one in listen(options.host, options.port)]
        port = listeners[0].getsockname()[1]
        log_file = options.log_file or Path("build") / f"triton-{port}.log"
        triton = stack.enter_context(TritonProcess(options.repository, log_file, str(port)))
        settings = Settings.from_environ(
            host=options.host,
            port=port,
            triton_address=f"{LOOPBACK}:{triton.grpc_port}",
            api_keys_file=key.file,
        )
        operations = [stack.enter_context(one) for one in server.open_operations(settings)]
        log_to_stderr(settings)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        app = server.create_gateway(settings)
        say(f"Starting Triton with {options.repository} (log: {log_file})")
        triton.start()
        front_door = FrontDoor(
            options.host, port, key, "https" if settings.tls_cert_file else "http"
        )
        is_silent = partial(_is_silent, app, triton, 2 * settings.timeout_seconds)
        watch = partial(keep_running, triton, is_silent=is_silent)
        stack.enter_context(in_background("watching over Triton", watch))
        stack.enter_context(
            in_background("the announcement", partial(announce, front_door, partial(_models, app)))
        )
        server.serve(app, settings, listeners, operations)


def _is_silent(app: Starlette, triton: TritonProcess, seconds: float) -> bool:
    """Whether a model has answered nothing for so long, and not for want of a Triton."""
    readiness: Readiness = app.state.gateway.readiness
    return min(readiness.silent_seconds(), time.monotonic() - triton.ready_at) > seconds


def _models(app: Starlette) -> list[str]:
    """Ids of the models served now."""
    return [model.id for model in app.state.gateway.catalogue.models]


def listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets, so that nobody takes the port while Triton loads.

    Raises: CannotServe if the port is in use or the address not of this machine.
    """
    try:
        return open_listeners(host, port)
    except OSError as error:
        raise CannotServe(f"{error}: choose another with --port (`make serve PORT=…`).") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.local",
        description="Serve an exported model repository on this machine: Triton from PyPI"
        " (Linux x86-64, Python 3.11 or 3.12) and the gateway in front of it."
        " Settings of the gateway come from GATEWAY_… variables.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--repository",
        type=Path,
        required=True,
        metavar="DIR",
        help="model repository written by `python -m export`; every model in it is served",
    )
    add("--host", default=LOOPBACK, help="address or name to listen on; 0.0.0.0 is every network")
    add("--port", type=int, default=8000, help="port to listen on; 0 takes a free one")
    add(
        "--api-key-file",
        type=Path,
        default=Path("build/api_key"),
        metavar="FILE",
        help="holds the API key, made at the first start unless GATEWAY_API_KEYS or"
        " GATEWAY_API_KEYS_FILE has one, or its digest",
    )
    add("--log-file", type=Path, metavar="FILE", help="of Triton; build/triton-PORT.log if absent")
    return parser


if __name__ == "__main__":
    sys.exit(main())
