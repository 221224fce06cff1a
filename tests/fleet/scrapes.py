"""What a Prometheus does meanwhile: asks every pod for its metrics, all the time."""

import asyncio
from dataclasses import dataclass

import httpx

from tests.fleet.cluster import Cluster, component_of
from tests.fleet.kubelet import Pod

INTERVAL_SECONDS = 5.0
PORTS = {"gateway": "operations", "triton": "metrics"}


@dataclass
class Scrapes:
    """Scrapes so far; those of a pod that was not ready all the while may fail."""

    cluster: Cluster
    answered: int = 0
    failed: int = 0
    not_ready: int = 0

    async def run(self) -> None:
        """For ever."""
        async with httpx.AsyncClient(timeout=10) as client:
            while True:
                await asyncio.gather(*(self._scrape(client, pod) for pod in self.cluster.pods))
                await asyncio.sleep(INTERVAL_SECONDS)

    async def _scrape(self, client: httpx.AsyncClient, pod: Pod) -> None:
        was_ready = pod.is_ready
        port = pod.port(PORTS[component_of(pod.template)])
        try:
            answer = await client.get(f"http://{pod.address}:{port}/metrics")
            answer.raise_for_status()
            self.answered += 1
        except httpx.HTTPError:
            self.failed += was_ready and pod.is_ready
            self.not_ready += not (was_ready and pod.is_ready)

    def __str__(self) -> str:
        return (
            f"{self.answered} scrapes were answered, {self.failed} failed,"
            f" {self.not_ready} more of pods that were not ready"
        )
