"""The chart for Kubernetes 1.20, which is older than what the chart is for.

What is changed stands in RULES. What they forget the API server refuses, for Helm lets it check
every key.
"""

import re
import shutil
from pathlib import Path

# Each a pattern of lines in the chart's files, and what takes their place.
RULES: dict[str, tuple[str, str]] = {
    "no lowest version of Kubernetes": (r"kubeVersion: .*\n", ""),
    "policy/v1 as v1beta1": (r"apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n"),
    "autoscaling/v2 as v2beta2": (
        r"apiVersion: autoscaling/v2\n",
        "apiVersion: autoscaling/v2beta2\n",
    ),
    "no unhealthyPodEvictionPolicy, of 1.26": (r" *unhealthyPodEvictionPolicy: .*\n", ""),
    "no matchLabelKeys of topologySpreadConstraints, of 1.25": (r" *matchLabelKeys: .*\n", ""),
    "no podFailurePolicy of Jobs, of 1.25": (r"( *)podFailurePolicy:\n(?:\1 .*\n)+", ""),
    "no grace of a probe's own, of 1.21": (r" {8,}terminationGracePeriodSeconds: .*\n", ""),
    "no sleep before a pod stops, of 1.29": (
        r" *lifecycle:\n *preStop:\n *sleep: .*\n",
        "",
    ),
    # No names are looked up here, and every rollout would take minutes.
    "minReadySeconds of 1, to save time": (r"( *)minReadySeconds: .*\n", r"\1minReadySeconds: 1\n"),
}


def translate(text: str) -> str:
    """A file of the chart for the older Kubernetes."""
    for pattern, replacement in RULES.values():
        text = re.sub(f"^{pattern}", replacement, text, flags=re.MULTILINE)
    return text


def copy_chart(chart: Path, target: Path) -> None:
    """The chart in another folder, translated."""
    shutil.copytree(chart, target)
    for file in [target / "Chart.yaml", *target.glob("templates/**/*.*")]:
        file.write_text(translate(file.read_text()))
