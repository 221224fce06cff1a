"""Numbers that stand elsewhere and are read when somebody asks for the metrics."""

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
    """Gauges, or counters, of one name, by the values of their labels.

    returns_to_zero  what is told no more is 0, as a key that holds nothing; else it is gone, as a
                     Triton: each new one has another address
    """

    def __init__(
        self,
        kind: Kind,
        read: Reading,
        name: str,
        meaning: str,
        *labels: str,
        returns_to_zero: bool = False,
    ) -> None:
        self._kind, self._read = kind, read
        self._name, self._meaning, self._labels = name, meaning, labels
        self._returns_to_zero = returns_to_zero
        self._zeros: dict[tuple[str, ...], int] = {}

    def collect(self) -> Iterator[Metric]:
        family = FAMILIES[self._kind](self._name, self._meaning, labels=self._labels)
        told = self._read()
        if self._returns_to_zero:
            self._zeros.update(dict.fromkeys(told, 0))
        for labels, number in {**self._zeros, **told}.items():
            family.add_metric(labels, number)
        yield family
