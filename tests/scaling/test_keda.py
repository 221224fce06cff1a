"""What KEDA makes of a ScaledObject, with the chart's own one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.helm.chart import changed, pick, render, worked
from tests.scaling.keda import QueryFailed, Scaler, Trigger

CAPACITY = 1000
VALUES = changed(worked("autoscaling"), {"triton.capacityTokensPerSecond": CAPACITY})


class Answers:
    """A Prometheus whose answers a test chooses: one for all queries, None for no answer."""

    def __init__(self, *values: float | None) -> None:
        self.values = values

    async def __call__(self, query: str) -> Sequence[float]:
        if None in self.values:
            raise QueryFailed
        return [value for value in self.values if value is not None]


def chart() -> dict[str, Any]:
    return pick(render(VALUES), "ScaledObject")


def decide(answers: Answers, pods: int, times: int, manifest: dict[str, Any] | None = None) -> int:
    """What there is after so many decisions, 15 s from one to the next."""
    now = 0.0
    scaler = Scaler(manifest or chart(), answers, lambda: now)

    async def run() -> int:
        nonlocal now, pods
        for _ in range(times):
            pods = await scaler.decide(pods)
            now += 15
        return pods

    return asyncio.run(run())


def test_the_chart_is_read() -> None:
    scaler = Scaler(chart(), Answers(), float)
    assert (scaler.least, scaler.most) == (2, 8)
    assert len(scaler.triggers) == 2
    assert not any(trigger.ignores_null for trigger in scaler.triggers)


@pytest.mark.parametrize("answers", [Answers(None), Answers(), Answers(float("nan"))])
def test_nothing_goes_while_prometheus_is_away(answers: Answers) -> None:
    assert decide(answers, pods=6, times=200) == 6


def test_static_fallback_is_its_number_once_the_threshold_is_passed() -> None:
    manifest = chart()
    fallback = {"failureThreshold": 3, "replicas": 2}
    policies = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    down = {"stabilizationWindowSeconds": 0, "policies": policies}
    spec = manifest["spec"] | {"fallback": fallback}
    behavior = manifest["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    config = {"horizontalPodAutoscalerConfig": {"behavior": behavior | {"scaleDown": down}}}
    manifest = manifest | {"spec": spec | {"advanced": config}}
    assert decide(Answers(None), pods=6, times=3, manifest=manifest) == 6
    assert decide(Answers(None), pods=6, times=4, manifest=manifest) == 2


def test_nothing_is_zero_only_where_it_may_be() -> None:
    assert asyncio.run(Trigger("up", 1, ignores_null=True).value(Answers())) == 0
    with pytest.raises(QueryFailed):
        asyncio.run(Trigger("up", 1, ignores_null=False).value(Answers()))


def test_several_values_are_none() -> None:
    with pytest.raises(QueryFailed):
        asyncio.run(Trigger("up", 1, ignores_null=True).value(Answers(1, 2)))
