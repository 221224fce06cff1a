"""Probes of a container, as the chart renders them and the kubelet runs them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.fleet.namespaces import Container

Manifest = dict[str, Any]
KNOWN = {
    "httpGet", "exec", "periodSeconds", "timeoutSeconds", "failureThreshold",
    "terminationGracePeriodSeconds",
}  # fmt: skip
KINDS = ("startup", "readiness", "liveness")


@dataclass(frozen=True)
class Probe:
    """One probe; what a manifest does not say is Kubernetes' default.

    url      what is asked, with {address} for that of the pod; empty if a command is run
    command  what is run in the container
    """

    url: str
    command: tuple[str, ...]
    period_seconds: float
    timeout_seconds: float
    failure_threshold: int
    grace_seconds: float | None  # of a container that it fails; None: that of the pod

    @classmethod
    def read(cls, container: Manifest, kind: str, faster: float = 1.0) -> "Probe":
        """The startup, readiness or liveness probe of a container.

        faster  what periods are divided by
        """
        probe = container[f"{kind}Probe"]
        assert not set(probe) - KNOWN, f"not known here: {sorted(set(probe) - KNOWN)}"
        return cls(
            url=_url(container, probe["httpGet"]) if "httpGet" in probe else "",
            command=tuple(probe["exec"]["command"]) if "exec" in probe else (),
            period_seconds=probe.get("periodSeconds", 10) / faster,
            timeout_seconds=probe.get("timeoutSeconds", 1),
            failure_threshold=probe.get("failureThreshold", 3),
            grace_seconds=probe.get("terminationGracePeriodSeconds"),
        )

    async def ask(self, container: Container, address: str, client: httpx.AsyncClient) -> bool:
        """Whether it succeeds once."""
        if self.command:
            return await container.run(self.command, self.timeout_seconds) == 0
        try:
            async with asyncio.timeout(self.timeout_seconds):
                answer = await client.get(self.url.format(address=address))
        except (httpx.HTTPError, TimeoutError):
            return False
        return 200 <= answer.status_code < 400


def _url(container: Manifest, asked: Manifest) -> str:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    port = ports.get(asked["port"], asked["port"])
    scheme = asked.get("scheme", "HTTP").lower()
    return f"{scheme}://{{address}}:{port}{asked['path']}"


@dataclass
class Verdict:
    """What the last results of a probe mean: one success holds, failures count in a row."""

    holds: bool
    failure_threshold: int
    _failures: int = 0

    def note(self, succeeded: bool) -> bool:
        """Whether it holds now."""
        self._failures = 0 if succeeded else self._failures + 1
        if succeeded or self._failures >= self.failure_threshold:
            self.holds = succeeded
        return self.holds


@dataclass(frozen=True)
class Health:
    """The three probes of a container."""

    startup: Probe
    readiness: Probe
    liveness: Probe

    @classmethod
    def read(cls, container: Manifest, faster: float) -> "Health":
        return cls(*(Probe.read(container, kind, faster) for kind in KINDS))

    async def watch(
        self,
        container: Container,
        address: str,
        tell_ready: Callable[[bool], None],
        condemn: Callable[[str, float | None], None],
    ) -> None:
        """Until the container ends: this is cancelled then.

        tell_ready  gets what the readiness probe says, each time
        condemn     gets the probe that wants the container started again, and its grace period

        Readiness and liveness are asked for when the startup probe has succeeded.
        """
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(limits=limits) as client:
            started = Verdict(False, self.startup.failure_threshold)
            failures = 0
            async for succeeded in _asked(self.startup, container, address, client):
                if started.note(succeeded):
                    break
                failures += 1
                if failures == self.startup.failure_threshold:
                    condemn("startup", self.startup.grace_seconds)

            async def follow_readiness() -> None:
                verdict = Verdict(False, self.readiness.failure_threshold)
                async for succeeded in _asked(self.readiness, container, address, client):
                    tell_ready(verdict.note(succeeded))

            async def follow_liveness() -> None:
                verdict = Verdict(True, self.liveness.failure_threshold)
                async for succeeded in _asked(self.liveness, container, address, client):
                    if not verdict.note(succeeded):
                        condemn("liveness", self.liveness.grace_seconds)

            async with asyncio.TaskGroup() as group:
                group.create_task(follow_readiness())
                group.create_task(follow_liveness())


async def _asked(
    probe: Probe, container: Container, address: str, client: httpx.AsyncClient
) -> AsyncIterator[bool]:
    """What a probe says, once a period, for ever."""
    while True:
        began = time.monotonic()
        yield await probe.ask(container, address, client)
        await asyncio.sleep(max(0.0, began + probe.period_seconds - time.monotonic()))
