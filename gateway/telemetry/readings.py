"""Numbers that stand elsewhere and are read when somebody asks for the metrics.

What is not told any more is gone: Tritons come and go, and each has another address.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Reading: TypeAlias = Callable[[], Mapping[tuple[str, ...], int]]  # values of the labels → number
Kind: TypeAlias = Literal["gauge", "counter"]

FAMILIES: dict[Kind, Callable[..., GaugeMetricFamily | CounterMetricFamily]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
}


class Readings(Collector):
    """Gauges, or counters, of one name, by the values of their labels."""

    def __init__(self, kind: Kind, read: Reading, name: str, meaning: str, *labels: str) -> None:
        self._kind, self._read = kind, read
        self._name, self._meaning, self._labels = name, meaning, labels

    def collect(self) -> Iterator[Metric]:
        family = FAMILIES[self._kind](self._name, self._meaning, labels=self._labels)
        for labels, number in self._read().items():
            family.add_metric(labels, number)
        yield family
