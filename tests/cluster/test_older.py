"""The chart that is tried on an older Kubernetes is the chart, but for what is said."""

import re
from pathlib import Path
from typing import Any

import pytest
from helm_python import Chart

from tests.cluster.older import RULES, copy_chart
from tests.helm.chart import FOLDER, changed, render, render_chart, worked
from tests.helm.variants import EXPORT

VALUES = changed(
    worked("cpu"),
    {"gateway.autoscaling.enabled": True, "model": {"source": "export", "export": EXPORT}},
)
CHANGED = {
    ("PodDisruptionBudget", "apiVersion"),
    ("PodDisruptionBudget", "unhealthyPodEvictionPolicy"),
    ("HorizontalPodAutoscaler", "apiVersion"),
    ("Deployment", "lifecycle"),
    ("Deployment", "minReadySeconds"),
    ("Deployment", "terminationGracePeriodSeconds"),
    ("Deployment", "matchLabelKeys"),
    ("Job", "name"),  # holds the digest of what the Job is
    ("Job", "podFailurePolicy"),
}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_finds_something(rule: str) -> None:
    pattern, _ = RULES[rule]
    files = [FOLDER / "Chart.yaml", *FOLDER.glob("templates/**/*.*")]
    assert any(re.search(f"^{pattern}", file.read_text(), re.MULTILINE) for file in files)


def test_nothing_else_is_changed(tmp_path: Path) -> None:
    copy_chart(FOLDER, tmp_path / "chart")
    older = render_chart(Chart.load(tmp_path / "chart"), VALUES)
    found = set()
    for ours, theirs in zip(render(VALUES), older, strict=True):
        found |= {(ours["kind"], key) for key in differences(ours, theirs)}
    assert found == CHANGED


def differences(left: Any, right: Any, name: str = "") -> set[str]:
    """The keys whose values are not the same."""
    if isinstance(left, dict) and isinstance(right, dict):
        return {
            key
            for name in left | right
            for key in differences(left.get(name), right.get(name), name)
        }
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return {
            key
            for one, other in zip(left, right, strict=True)
            for key in differences(one, other, name)
        }
    return set() if left == right else {name}
