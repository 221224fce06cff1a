"""Meter: what a key was answered, told to metrics and, where there is one, to the log."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.telemetry.metrics import Metrics
from gateway.usage.log import UsageLog, Use


class Meter:
    """Counts every call that is answered with embeddings, when its answer is ready to be sent."""

    def __init__(self, metrics: Metrics, log: UsageLog | None = None) -> None:
        self._metrics = metrics
        self._log = log
        if log:
            metrics.registry.register(_LogCounts(log))

    def note(self, use: Use) -> None:
        """Counts the call; its record is written when this returns."""
        self._metrics.usage_calls(use.key, use.model).inc()
        self._metrics.usage_texts(use.key, use.model).inc(use.texts)
        self._metrics.usage_tokens(use.key, use.model).inc(use.tokens)
        if self._log:
            self._log.write(use)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the log synced; at the end, when all answers are out, it is closed."""
        if self._log is None:
            yield
            return
        keeper = asyncio.create_task(self._log.keep_synced())
        yield
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        await asyncio.to_thread(self._log.close)


class _LogCounts(Collector):
    """What of a log is not on the disk, read when it is asked for."""

    def __init__(self, log: UsageLog) -> None:
        self._counts = log.counts

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "gateway_usage_unwritten_records",
            "Records of the usage log that wait in memory, for want of room on the disk.",
            self._counts.unwritten,
        )
        yield CounterMetricFamily(
            "gateway_usage_lost_records",
            "Records that nothing will write any more.",
            self._counts.lost,
        )
        yield CounterMetricFamily(
            "gateway_usage_sync_failures",
            "Times that the disk did not take what was written before.",
            self._counts.sync_failures,
        )
