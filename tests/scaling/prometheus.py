"""A real Prometheus that scrapes gateways as a ServiceMonitor of the chart has them scraped."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from gateway.local.triton_process import LOOPBACK
from tests.helm.chart import Manifest, pick
from tests.prometheus import MISSING, find, shorter, target_labels
from tests.scaling.clock import Clock, hurry
from tests.scaling.keda import QueryFailed
from tests.scaling.program import Program

# Seconds that KEDA waits for an answer.
PATIENCE_SECONDS = 3.0
# Seconds for which Prometheus takes the last value for the present one.
LOOKBACK_SECONDS = 300
# Seconds of the simulation between two values of a curve.
STEP_SECONDS = 15.0


def configuration(
    manifests: list[Manifest], addresses: Sequence[str], speed: float
) -> Mapping[str, Any]:
    """addresses  of the operations of each gateway"""
    (endpoint,) = pick(manifests, "ServiceMonitor", "-gateway")["spec"]["endpoints"]
    interval = shorter(endpoint["interval"], speed)
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [
            {
                "job_name": "gateways",
                "metrics_path": endpoint["path"],
                "static_configs": [
                    {"targets": [address], "labels": target_labels(manifests, "gateway", address)}
                    for address in addresses
                ],
            }
        ],
    }


class Prometheus:
    """A server with a folder of its own, which can be stopped and started again."""

    def __init__(self, folder: Path, port: int, clock: Clock) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self._folder, self._port, self._clock = folder, port, clock
        self._program = Program(folder / "log", f"{self.url}/-/ready")

    def configure(self, configuration: Mapping[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Returns once it is ready."""
        program = find("prometheus")
        assert program, MISSING
        words = [
            program,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{self._port}",
            f"--query.lookback-delta={round(1000 * LOOKBACK_SECONDS / self._clock.speed)}ms",
        ]
        await self._program.start(session, words, {"GOMAXPROCS": "1"})

    async def stop(self) -> None:
        await self._program.stop()

    async def ask(self, session: aiohttp.ClientSession, query: str) -> list[float]:
        """The values of an instant query.

        Raises: QueryFailed.
        """
        result = await self._get(session, "query", {"query": hurry(query, self._clock.speed)})
        return [float(one["value"][1]) for one in result]

    async def ask_range(
        self, session: aiohttp.ClientSession, query: str, until: float
    ) -> list[tuple[float, float]]:
        """Moments of the simulation and the values of one series, every few seconds.

        Raises: QueryFailed.
        """
        now, speed = time.time(), self._clock.speed
        began = now - self._clock.now() / speed
        span = {"start": began, "end": began + until / speed, "step": STEP_SECONDS / speed}
        words = {"query": query} | {name: f"{value:.3f}" for name, value in span.items()}
        result = await self._get(session, "query_range", words)
        return [
            ((float(at) - began) * speed, float(value))
            for one in result
            for at, value in one["values"]
        ]

    async def _get(
        self, session: aiohttp.ClientSession, path: str, parameters: Mapping[str, str]
    ) -> list[Any]:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        url = f"{self.url}/api/v1/{path}"
        try:
            async with session.get(url, params=parameters, timeout=timeout) as response:
                if response.status != 200:
                    raise QueryFailed(await response.text())
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise QueryFailed(repr(error)) from error
        return answer["data"]["result"]
