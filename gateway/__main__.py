"""python -m gateway: the gateway beside a Triton that runs elsewhere."""

import argparse
import logging
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from gateway import Settings, create_app
from gateway.inference.lanes import Lanes
from gateway.inference.triton import TritonEmbedder
from gateway.rest.http_protocol import HttpProtocol
from gateway.settings import VARIABLES, SettingsError, Variable


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until interrupted; what cannot start says why in one sentence."""
    chosen = vars(_parser().parse_args(arguments))
    try:
        settings = Settings.from_environ(
            **{name: value for name, value in chosen.items() if value is not None}
        )
        listener = open_listener(settings.host, settings.port)
    except (SettingsError, OSError) as error:
        sys.exit(f"triton-embeddings-gateway: {error}")
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    serve(settings, listener)


def serve(settings: Settings, listener: socket.socket) -> None:
    """Runs the app on an open socket until SIGINT or SIGTERM; calls in flight are finished."""
    embedder = TritonEmbedder(
        settings.triton_address,
        chunk_tokens=settings.chunk_tokens,
        chunk_texts=settings.chunk_texts,
        lanes=Lanes(
            bulk_window_tokens=settings.bulk_window_tokens,
            interactive_window_tokens=settings.interactive_window_tokens,
            small_call_tokens=settings.small_call_tokens,
        ),
    )
    config = uvicorn.Config(
        create_app(settings, embedder),
        http=HttpProtocol,
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


def _parser() -> argparse.ArgumentParser:
    variables = "\n".join(f"  {_describe(variable)}" for variable in VARIABLES.values())
    parser = argparse.ArgumentParser(
        prog="triton-embeddings-gateway",
        description="The Mixedbread embeddings API in front of NVIDIA Triton.",
        epilog=f"environment, with defaults; a flag wins over its variable:\n{variables}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--triton-address", help="gRPC target of Triton")
    return parser


def _describe(variable: Variable) -> str:
    choices = f" ({' | '.join(variable.choices)})" if variable.choices else ""
    return f"{variable.name}{choices}, default {variable.default or 'none'}\n      {variable.why}"


if __name__ == "__main__":
    main()
