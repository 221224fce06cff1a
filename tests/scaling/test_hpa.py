"""The HPA's arithmetic, by the examples that Kubernetes gives for it."""

import pytest

from tests.scaling.hpa import Autoscaler, Metric, Policy, Rules, propose, read_rules

AT_ONCE = Rules(0, (Policy("Percent", 100, 15), Policy("Pods", 4, 15)))


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def autoscaler(
    clock: Clock, *, up: Rules = AT_ONCE, down: Rules = AT_ONCE, least: int = 1, most: int = 100
) -> Autoscaler:
    return Autoscaler(least, most, up, down, clock)


@pytest.mark.parametrize(
    ("pods", "value", "expected"),
    [(2, 400, 4), (2, 100, 1), (2, 219, 2), (2, 181, 2), (2, 221, 3), (3, 201, 3), (4, 0, 0)],
    ids=["twice", "half", "tolerated", "tolerated below", "above", "rounded up", "nothing"],
)
def test_pods_are_the_value_over_the_target(pods: int, value: float, expected: int) -> None:
    assert propose(pods, Metric(value, 100)) == expected


def test_the_metric_that_asks_for_most_wins() -> None:
    assert autoscaler(Clock()).decide(2, [Metric(100, 100), Metric(300, 100)]) == 3


@pytest.mark.parametrize(("value", "expected"), [(800, 8), (100, 4)])
def test_a_missing_metric_keeps_pods_and_adds_them(value: float, expected: int) -> None:
    assert autoscaler(Clock()).decide(4, [None, Metric(value, 100)]) == expected


def test_without_any_metric_nothing_changes() -> None:
    assert autoscaler(Clock()).decide(4, [None, None]) == 4


@pytest.mark.parametrize(("pods", "expected"), [(1, 2), (9, 8)])
def test_what_is_out_of_range_is_brought_into_it(pods: int, expected: int) -> None:
    assert autoscaler(Clock(), least=2, most=8).decide(pods, [None]) == expected


def test_scaling_down_from_80_by_ten_percent_or_four_pods_a_minute() -> None:
    clock = Clock()
    down = Rules(0, (Policy("Pods", 4, 60), Policy("Percent", 10, 60)))
    scaler, pods, steps = autoscaler(clock, down=down), 80, []
    for _ in range(8):
        pods = scaler.decide(pods, [Metric(1000, 100)])
        steps.append(pods)
        clock.seconds += 60
    assert steps == [72, 64, 57, 51, 45, 40, 36, 32]


def test_the_smallest_change_is_chosen_by_min() -> None:
    down = Rules(0, (Policy("Pods", 4, 60), Policy("Percent", 10, 60)), "Min")
    assert autoscaler(Clock(), down=down).decide(80, [Metric(0, 100)]) == 76


def test_a_disabled_direction_stays() -> None:
    down = Rules(0, (Policy("Pods", 4, 60),), "Disabled")
    assert autoscaler(Clock(), down=down).decide(80, [Metric(0, 100)]) == 80


def test_a_period_counts_what_changed_in_it() -> None:
    clock = Clock()
    scaler = autoscaler(clock, up=Rules(0, (Policy("Percent", 100, 60),)))
    pods, steps = 2, []
    for _ in range(6):
        pods = scaler.decide(pods, [Metric(10_000, 100)])
        steps.append(pods)
        clock.seconds += 15
    assert steps == [4, 4, 4, 4, 8, 8]


def test_pods_go_when_less_was_enough_for_the_whole_window() -> None:
    clock = Clock()
    scaler = autoscaler(clock, down=Rules(300, (Policy("Percent", 100, 15),)))
    assert scaler.decide(4, [Metric(400, 100)]) == 4
    decided = []
    for _ in range(4):
        clock.seconds += 100
        decided.append(scaler.decide(4, [Metric(200, 100)]))
    assert decided == [4, 4, 2, 2]


def test_pods_come_when_more_was_needed_for_the_whole_window() -> None:
    clock = Clock()
    scaler = autoscaler(clock, up=Rules(60, (Policy("Percent", 100, 15),)))
    decided = [scaler.decide(2, [Metric(value, 100)]) for value in (200, 400)]
    clock.seconds += 61
    assert [*decided, scaler.decide(2, [Metric(300, 100)])] == [2, 2, 3]


def test_rules_are_read_from_a_manifest() -> None:
    policies = [{"type": "Pods", "value": 1, "periodSeconds": 300}]
    manifest = {"stabilizationWindowSeconds": 600, "policies": policies}
    assert read_rules(manifest) == Rules(600, (Policy("Pods", 1, 300),))
