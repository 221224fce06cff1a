"""The HorizontalPodAutoscaler's arithmetic: from values of metrics to a number of pods.

Written after what Kubernetes documents, where that is silent after its controller:
https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
kubernetes/kubernetes, pkg/controller/podautoscaler/{horizontal,replica_calculator}.go (1.30).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, NamedTuple

# Of the ratio of a value to its target; within it nothing changes.
TOLERANCE = 0.1
# Seconds between two decisions, the default of the controller.
SYNC_SECONDS = 15.0


class Metric(NamedTuple):
    """An external metric of type AverageValue.

    value   of all pods together
    target  of one pod
    """

    value: float
    target: float


@dataclass(frozen=True, slots=True)
class Policy:
    """How far the number of pods may go within a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_seconds: float


@dataclass(frozen=True, slots=True)
class Rules:
    """What bounds a change in one direction.

    select  which of several policies counts: the one with the biggest change, with the smallest
    """

    stabilization_seconds: float
    policies: tuple[Policy, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"


class _Change(NamedTuple):
    at: float
    pods: int  # up is positive


def read_rules(behavior: Mapping[str, Any]) -> Rules:
    """`scaleUp` or `scaleDown` of a manifest."""
    policies = (
        Policy(one["type"], one["value"], one["periodSeconds"]) for one in behavior["policies"]
    )
    select = behavior.get("selectPolicy", "Max")
    return Rules(behavior["stabilizationWindowSeconds"], tuple(policies), select)


def propose(pods: int, metric: Metric, tolerance: float = TOLERANCE) -> int:
    """The pods that one metric asks for."""
    ratio = metric.value / (metric.target * pods)
    return pods if abs(1 - ratio) <= tolerance else ceil(metric.value / metric.target)


class Autoscaler:
    """One HorizontalPodAutoscaler, with what it remembers.

    least, most  pods
    clock        seconds
    """

    def __init__(
        self, least: int, most: int, up: Rules, down: Rules, clock: Callable[[], float]
    ) -> None:
        self._least, self._most = least, most
        self._up, self._down = up, down
        self._clock = clock
        self._proposals: list[tuple[float, int]] = []
        self._changes: list[_Change] = []

    def decide(self, pods: int, metrics: Sequence[Metric | None]) -> int:
        """How many pods there should be, now that there are so many.

        metrics  None for one that could not be had: without it nothing goes
        """
        if not self._least <= pods <= self._most:
            return self._note(pods, min(max(pods, self._least), self._most))
        proposals = [propose(pods, metric) for metric in metrics if metric is not None]
        if not proposals or (len(proposals) < len(metrics) and max(proposals) < pods):
            return pods
        return self._note(pods, self._bound(pods, self._stabilize(pods, max(proposals))))

    def _stabilize(self, pods: int, proposed: int) -> int:
        """Not above the least that was proposed of late, nor below the most."""
        now = self._clock()
        up, down = (now - rules.stabilization_seconds for rules in (self._up, self._down))
        lowest = min([proposed, *(one for at, one in self._proposals if at > up)])
        highest = max([proposed, *(one for at, one in self._proposals if at > down)])
        self._proposals = [one for one in self._proposals if one[0] > min(up, down)]
        self._proposals.append((now, proposed))
        return min(max(pods, lowest), highest)

    def _bound(self, pods: int, wanted: int) -> int:
        """As far as policies allow, and the range."""
        if wanted > pods:
            return min(wanted, self._most, max(self._limit(pods, self._up, +1), pods))
        if wanted < pods:
            return max(wanted, self._least, min(self._limit(pods, self._down, -1), pods))
        return wanted

    def _limit(self, pods: int, rules: Rules, sign: Literal[1, -1]) -> int:
        """The pods that the policies of one direction end at."""
        if rules.select == "Disabled":
            return pods
        limits = [self._limit_of(pods, policy, sign) for policy in rules.policies]
        return max(limits) if (rules.select == "Max") == (sign > 0) else min(limits)

    def _limit_of(self, pods: int, policy: Policy, sign: Literal[1, -1]) -> int:
        since = self._clock() - policy.period_seconds
        before = pods - sum(change.pods for change in self._changes if change.at > since)
        if policy.kind == "Pods":
            return before + sign * policy.value
        exact = before * (1 + sign * policy.value / 100)
        return ceil(exact) if sign > 0 else int(exact)

    def _note(self, pods: int, decided: int) -> int:
        if decided != pods:
            longest = max(p.period_seconds for p in (*self._up.policies, *self._down.policies))
            since = self._clock() - longest
            self._changes = [change for change in self._changes if change.at > since]
            self._changes.append(_Change(self._clock(), decided - pods))
        return decided
