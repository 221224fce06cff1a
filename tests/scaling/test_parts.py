"""The parts of a simulation that need no processes."""

import re
from collections.abc import Sequence

import pytest

from tests.helm.chart import pick, render, worked
from tests.prometheus import target_labels
from tests.scaling.clock import hurry
from tests.scaling.keda import read_triggers
from tests.scaling.prometheus import configuration
from tests.scaling.report import count_turns
from tests.scaling.scenarios import SCENARIOS, Scenario

FLEET = render(worked("autoscaling"))


def test_prometheus_puts_the_labels_on_targets_that_triggers_ask_for() -> None:
    labels = target_labels(FLEET, "gateway", "127.0.0.1:9090")
    for trigger in read_triggers(pick(FLEET, "ScaledObject")):
        asked = dict(re.findall(r'(\w+)="([^"]*)"', trigger.query))
        assert asked
        assert asked.items() <= labels.items()


def test_scrapes_are_as_often_as_the_service_monitor_says() -> None:
    settings = configuration(FLEET, ["127.0.0.1:9090"], speed=6)
    assert settings["global"]["scrape_interval"] == "2500ms"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(rate(x{a='b'}[2m]))", "sum((rate(x{a='b'}[20000ms]) / 6))"),
        ("sum(avg_over_time(x[90s]))", "sum(avg_over_time(x[15000ms]))"),
        ("sum(x)", "sum(x)"),
    ],
)
def test_a_query_is_hurried(query: str, expected: str) -> None:
    assert hurry(query, 6) == expected


@pytest.mark.parametrize(
    ("pods", "turns"),
    [([2, 2, 4, 8, 8], 0), ([2, 4, 3, 2], 1), ([2, 4, 4, 3, 5], 2), ([2], 0)],
)
def test_turns_are_changes_of_direction(pods: Sequence[int], turns: int) -> None:
    assert count_turns(pods) == turns


def test_load_is_straight_between_points_and_jumps_where_two_are_at_once() -> None:
    scenario = Scenario("x", "x", ((0, 1), (10, 3), (10, 6), (20, 6)))
    assert [scenario.pods_worth(at) for at in (0, 5, 10, 19, 20)] == [1, 2, 6, 6, 6]


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_scenarios_go_on_in_time(scenario: Scenario) -> None:
    minutes = [at for at, _ in scenario.load]
    assert minutes == sorted(minutes)
