"""What makes each alert fire, done to the real thing."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from tests.monitoring.fleet import Fleet, key_table
from tests.monitoring.load import Load, page, question

DELAY_SECONDS = 0.8

Harm = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """What is done while the block lasts, and mended at its end.

    alerts  that must fire → what was done, where that is not the same for all
    """

    what: str
    harm: Harm
    alerts: Mapping[str, str]


def fault(what: str, harm: Harm, *alerts: str) -> Fault:
    return Fault(what, harm, dict.fromkeys(alerts, what))


@dataclass
class Faults:
    """Of one fleet under load."""

    fleet: Fleet
    load: Load

    @asynccontextmanager
    async def slow_things(self) -> AsyncIterator[None]:
        """Those that hurt nobody, side by side."""
        exporter, (_, member) = self.fleet.exporter, self.fleet.members
        await asyncio.to_thread(self.fleet.certify, 6)
        await asyncio.to_thread(member.serve, self.fleet.revisions[1].repository)
        exporter.tell(available=1, failed=1)
        for restarts in range(1, 6):
            exporter.tell(restarts=restarts, refused=restarts)
            await asyncio.sleep(1)
        yield
        exporter.tell(available=2, failed=0)
        await asyncio.to_thread(self.fleet.certify, 90)
        await asyncio.to_thread(member.serve, self.fleet.revisions[0].repository)

    @asynccontextmanager
    async def kill_tritons(self) -> AsyncIterator[None]:
        for member in self.fleet.members:
            member.send(signal.SIGKILL)
        yield
        for member in self.fleet.members:
            await asyncio.to_thread(member.start)

    @asynccontextmanager
    async def kill_gateways(self) -> AsyncIterator[None]:
        for gateway in self.fleet.gateways:
            await asyncio.to_thread(gateway.end, signal.SIGKILL)
        yield
        for gateway in self.fleet.gateways:
            await asyncio.to_thread(gateway.start)

    @asynccontextmanager
    async def break_keys(self) -> AsyncIterator[None]:
        self.fleet.write_keys(key_table()[:-5] + "\n[[keys")
        yield
        self.fleet.write_keys(key_table())

    @asynccontextmanager
    async def lose_redis(self) -> AsyncIterator[None]:
        self.fleet.redis.stop()
        yield
        await asyncio.to_thread(self.fleet.redis.start)

    @asynccontextmanager
    async def fill_disk(self) -> AsyncIterator[None]:
        filler = self.fleet.usage / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65536))
        with suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(64))
        yield
        filler.unlink()

    @asynccontextmanager
    async def fail_syncs(self) -> AsyncIterator[None]:
        """A disk that takes what is written and does not confirm it."""
        gateway = self.fleet.gateways[0].process
        assert gateway is not None
        words = ["strace", "-f", "-qq", "-p", str(gateway.pid), "-e", "trace=fsync"]
        words += ["-e", "inject=fsync:error=EIO"]
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        yield
        process.terminate()
        process.wait()

    @asynccontextmanager
    async def lengthen_wires(self) -> AsyncIterator[None]:
        """Steps that are stopped would do too, but end Triton 24.10, whose locks expire."""
        async with self.load.more(24, "indexer", partial(page, 64, words=40)):
            for wire in self.fleet.wires:
                wire.delay_seconds = DELAY_SECONDS
            yield
            for wire in self.fleet.wires:
                wire.delay_seconds = 0.0

    @asynccontextmanager
    async def flood(self) -> AsyncIterator[None]:
        async with self.load.more(60, "indexer", partial(page, 200, words=60)):
            yield

    @asynccontextmanager
    async def hammer(self) -> AsyncIterator[None]:
        async with self.load.more(2, "guest", question, pause_seconds=0.05):
            yield

    def all(self) -> list[Fault]:
        """In an order in which none hides another."""
        told = "kube-state-metrics, played by an exporter, tells of "
        return [
            *self._of_disks(),
            fault(
                f"wires to Triton that take {DELAY_SECONDS:g} s each way, 24 indexers",
                self.lengthen_wires,
                "EmbeddingsSlow", "EmbeddingsBacklog", "EmbeddingsUpstreamErrors",
            ),
            Fault(
                "another revision on one Triton, a certificate of 6 days; the exporter's series",
                self.slow_things,
                {
                    "EmbeddingsCertificateExpires": "a certificate of 6 days",
                    "EmbeddingsRevisionsMixed": "another revision on one of two Tritons",
                    "EmbeddingsReplicasMissing": f"{told}a pod that is missing",
                    "EmbeddingsRestarting": f"{told}5 restarts",
                    "EmbeddingsExportFailed": f"{told}a Job that failed",
                    "EmbeddingsRetriesRefused": "an exporter that plays a gateway refuses chunks",
                },
            ),
            fault(
                "both Tritons killed", self.kill_tritons,
                "EmbeddingsUnready", "EmbeddingsFailing", "EmbeddingsGatewayUnready",
                "EmbeddingsTritonGone", "EmbeddingsTritonDown", "EmbeddingsTargetDown",
            ),
            fault("both gateways killed", self.kill_gateways, "EmbeddingsGatewayGone"),
            fault("half of a key file", self.break_keys, "EmbeddingsKeyFileInvalid"),
            fault(
                "Redis killed", self.lose_redis, "EmbeddingsLimitsAlone", "EmbeddingsCacheAway"
            ),
            fault("60 indexers more", self.flood, "EmbeddingsOverloaded"),
            fault("a guest calls 40 times a second", self.hammer, "EmbeddingsKeyLimited"),
        ]  # fmt: skip

    def _of_disks(self) -> list[Fault]:
        found = []
        if self.fleet.can_fill:
            found.append(
                fault("disk of the usage log full", self.fill_disk, "EmbeddingsUsageUnwritten")
            )
        if shutil.which("strace"):
            found.append(fault("fsync fails (strace)", self.fail_syncs, "EmbeddingsUsageLost"))
        return found
