"""KEDA between Prometheus and the HPA: what a ScaledObject says, asked and answered as KEDA does.

Written after https://keda.sh/docs/2.18/reference/scaledobject-spec/ and, where that is silent,
kedacore/keda, pkg/scalers/prometheus_scaler.go and pkg/fallback/fallback.go. Triggers are asked
when the HPA asks; the poll of KEDA's operator only matters to what scales to zero.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.scaling.hpa import Autoscaler, Metric, read_rules

# The values in the result of a query. Raises: QueryFailed.
Ask: TypeAlias = Callable[[str], Awaitable[Sequence[float]]]


class QueryFailed(Exception):
    """Prometheus does not answer, or not with one value."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A query and what one pod should have of its value."""

    query: str
    threshold: float
    ignores_null: bool

    async def value(self, ask: Ask) -> float:
        """Raises: QueryFailed."""
        values = await ask(self.query)
        if len(values) > 1:
            raise QueryFailed("more than one element")
        if not values or not math.isfinite(values[0]):
            if self.ignores_null:
                return 0.0
            raise QueryFailed("no value")
        return values[0]


def read_triggers(scaled_object: Mapping[str, Any]) -> list[Trigger]:
    """The triggers of a manifest, all of Prometheus and AverageValue."""
    triggers = scaled_object["spec"]["triggers"]
    assert all(one["type"] == "prometheus" for one in triggers)
    assert all(one.get("metricType", "AverageValue") == "AverageValue" for one in triggers)
    return [
        Trigger(
            one["metadata"]["query"],
            float(one["metadata"]["threshold"]),
            one["metadata"].get("ignoreNullValues", "true") == "true",
        )
        for one in triggers
    ]


class Scaler:
    """KEDA and the HPA that it makes of one ScaledObject.

    values  of the triggers at the last decision, None for what could not be had
    """

    def __init__(
        self, scaled_object: Mapping[str, Any], ask: Ask, clock: Callable[[], float]
    ) -> None:
        spec = scaled_object["spec"]
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        self.least, self.most = spec["minReplicaCount"], spec["maxReplicaCount"]
        self._hpa = Autoscaler(
            self.least,
            self.most,
            read_rules(behavior["scaleUp"]),
            read_rules(behavior["scaleDown"]),
            clock,
        )
        self.triggers = read_triggers(scaled_object)
        self._fallback: Mapping[str, Any] | None = spec.get("fallback")
        self._failures = [0] * len(self.triggers)
        self._ask = ask
        self.values: list[float | None] = []

    async def decide(self, pods: int) -> int:
        """How many pods there should be, now that there are so many."""
        metrics = [await self._measure(number, pods) for number in range(len(self.triggers))]
        return self._hpa.decide(pods, metrics)

    async def _measure(self, number: int, pods: int) -> Metric | None:
        if number == 0:
            self.values = []
        trigger = self.triggers[number]
        try:
            value = await trigger.value(self._ask)
        except QueryFailed:
            self.values.append(None)
            self._failures[number] += 1
            return self._fall_back(number, pods)
        self._failures[number] = 0
        self.values.append(value)
        return Metric(value, trigger.threshold)

    def _fall_back(self, number: int, pods: int) -> Metric | None:
        """What stands for a trigger that has failed too often."""
        fallback, threshold = self._fallback, self.triggers[number].threshold
        if not fallback or self._failures[number] <= fallback["failureThreshold"]:
            return None
        replicas = fallback["replicas"]
        match fallback.get("behavior", "static"):
            case "currentReplicas":
                replicas = pods
            case "currentReplicasIfHigher":
                replicas = max(pods, replicas)
            case "currentReplicasIfLower":
                replicas = min(pods, replicas)
        return Metric(threshold * replicas, threshold)
