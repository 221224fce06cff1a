"""What happens to the service, minute by minute. Load is in pods' worth: 1 keeps one pod busy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Points = tuple[tuple[float, float], ...]  # minutes and pods' worth, straight lines between them


@dataclass(frozen=True, slots=True)
class Job:
    """Workers that call again as soon as they are answered."""

    workers: int
    begin: float  # minutes
    end: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One course of events.

    away      minutes from and to which Prometheus is not there
    restarts  minutes at which all gateways end and begin anew, one after the other
    values    of the chart that differ from those of the worked fleet
    """

    name: str
    title: str
    load: Points
    job: Job | None = None
    away: tuple[float, float] | None = None
    restarts: tuple[float, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def minutes(self) -> float:
        return self.load[-1][0]

    @property
    def is_silent(self) -> bool:
        """Whether nobody calls in the end, not even with a question."""
        return self.load[-1][1] == 0

    @property
    def is_cached(self) -> bool:
        """Whether the load is one text, which pods embed once."""
        return self.values.get("gateway.config.cache") == "memory"

    def pods_worth(self, minute: float) -> float:
        for (begin, low), (end, high) in pairwise(self.load):
            if begin <= minute < end:
                return low + (high - low) * (minute - begin) / (end - begin)
        return self.load[-1][1]


def _sawtooth(low: float, high: float, period: float, end: float) -> Points:
    """Up slowly and down at once, again and again."""
    points: list[tuple[float, float]] = []
    for tooth in range(round(end / period)):
        points += [(tooth * period, low), ((tooth + 1) * period, high)]
    return (*points, (end, low))


def _spikes(low: float, high: float, seconds: float, end: float) -> Points:
    """Once a minute a moment of much more, not at the same second each time."""
    points: list[tuple[float, float]] = [(0, low)]
    for minute in range(2, round(end) - 10):
        at = minute + (minute * 0.37) % 0.9
        points += [(at, low), (at, high), (at + seconds / 60, high), (at + seconds / 60, low)]
    return (*points, (end, low))


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "rise",
            "slow rise to six pods, slow fall",
            ((0, 1), (5, 1), (20, 4.2), (28, 4.2), (36, 1), (60, 1)),
        ),
        Scenario(
            "burst",
            "three times the capacity for two minutes",
            ((0, 1), (10, 1), (10, 6), (12, 6), (12, 1), (60, 1)),
        ),
        Scenario(
            "job",
            "a bulk job of 16 workers starts and stops",
            ((0, 0.5), (60, 0.5)),
            job=Job(16, 10, 25),
        ),
        Scenario("sawtooth", "a sawtooth around three pods", _sawtooth(1.6, 2.5, 6, 60)),
        Scenario("spikes", "4 s of eight pods' worth each minute", _spikes(0.6, 8, 4, 50)),
        Scenario(
            "away",
            "Prometheus away for 5 minutes at high load",
            ((0, 1), (5, 3.5), (17, 3.5), (18, 0.5), (60, 0.5)),
            away=(15, 20),
        ),
        Scenario(
            "long-away",
            "Prometheus away for 20 minutes",
            ((0, 1), (5, 3.5), (45, 3.5), (60, 3.5)),
            away=(15, 35),
        ),
        Scenario(
            "night",
            "no call at all, gateways begin anew",
            ((0, 3), (10, 3), (10, 0), (60, 0)),
            restarts=(12,),
        ),
        Scenario(
            "overload",
            "more than the most pods can do",
            ((0, 1), (8, 1), (8, 12), (20, 12), (20, 1), (60, 1)),
        ),
        Scenario(
            "cached",
            "four pods' worth of texts that are in the cache",
            ((0, 0.5), (5, 4), (25, 4), (30, 0.5), (45, 0.5)),
            values={"gateway.config.cache": "memory"},
        ),
    )
}
