"""Gateways as processes, with the environment that the chart gives their pods."""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from gateway.local.triton_process import LOOPBACK
from tests.helm.chart import Manifest, environment
from tests.scaling.program import Program


class Gateway:
    """A process, which can be ended and begun anew on the same ports."""

    def __init__(
        self, words: Sequence[str], environ: Mapping[str, str], ports: tuple[int, int], log: Path
    ) -> None:
        port, operations_port = ports
        self.url = f"http://{LOOPBACK}:{port}"
        self.operations = f"{LOOPBACK}:{operations_port}"
        own = {"GATEWAY_PORT": str(port), "GATEWAY_OPERATIONS_PORT": str(operations_port)}
        self._words, self._environ = words, dict(environ) | own
        self._program = Program(log, f"http://{self.operations}/health/ready")

    async def start(self, session: aiohttp.ClientSession) -> None:
        await self._program.start(session, self._words, self._environ)

    async def stop(self) -> None:
        await self._program.stop()


def make_gateways(
    manifests: list[Manifest],
    folder: Path,
    names: Path,
    *,
    ports: Sequence[tuple[int, int]],
    triton_port: int,
    keys: Sequence[str],
    speed: float,
) -> list[Gateway]:
    """Only ports, addresses and the key file are others than in the cluster.

    names  the file that tells the hosts of Tritons that are ready
    """
    rendered = environment(manifests)
    name, _, _ = rendered["GATEWAY_TRITON_ADDRESS"].removeprefix("dns:///").partition(":")
    key_file = folder / "keys.toml"
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    key_file.write_text(
        "".join(
            f'[[keys]]\nname = "{number}"\ndigest = "sha256:{digest}"\n'
            for number, digest in enumerate(digests)
        )
    )
    here = {
        "GATEWAY_TRITON_ADDRESS": f"dns:///{name}:{triton_port}",
        "GATEWAY_API_KEYS_FILE": str(key_file),
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    words = [sys.executable, "-m", "tests.scaling.gateway", str(speed), name, str(names)]
    return [
        Gateway(words, inherited | rendered | here, pair, folder / f"gateway-{number}.log")
        for number, pair in enumerate(ports)
    ]
