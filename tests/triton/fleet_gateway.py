"""python -m tests.triton.fleet_gateway FILE: a gateway that finds its Tritons in a file.

The file stands for the answer of a name server: an address a line, read whenever the gateway asks
for `dns:///triton:8001`. Settings come from the environment.
"""

import sys
from pathlib import Path

from gateway import Settings, create_app
from gateway.inference.triton import TritonEmbedder
from gateway.listeners import open_listeners
from gateway.server import listen_to_signals, serve
from gateway.telemetry.logs import log_to_stderr

NAME = "dns:///triton:8001"


def main(file: Path) -> None:
    """Serves until interrupted."""
    settings = Settings.from_environ()

    async def resolve(host: str, port: int) -> list[str]:
        return file.read_text().split()

    app = create_app(settings, TritonEmbedder(NAME, chunk_tokens=64, resolve=resolve))
    log_to_stderr(settings)
    listen_to_signals()
    serve(app, settings, open_listeners(settings.host, settings.port))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
