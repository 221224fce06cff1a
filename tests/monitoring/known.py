"""Metrics that exist, with their labels."""

import re
from pathlib import Path

from tests.monitoring.expressions import asked_in

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
# What the operator of Prometheus puts on everything that a ServiceMonitor finds.
TARGET = {"namespace", "service", "pod", "job", "instance", "container", "endpoint"}
# From the documentation of Triton 24.10 (User guide, Metrics): no machine of ours that has run
# these tests has a GPU that Triton can see.
GPU = {
    "nv_gpu_utilization", "nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes",
    "nv_gpu_power_usage",
}  # fmt: skip
# From the documentation of kube-state-metrics 2.
KUBERNETES = {
    "kube_deployment_spec_replicas": {"deployment"},
    "kube_deployment_status_replicas_available": {"deployment"},
    "kube_pod_container_status_restarts_total": {"pod", "container"},
    "kube_job_status_failed": {"job_name", "reason"},
}
ELSEWHERE = {name: {"gpu_uuid"} for name in GPU} | KUBERNETES | {"up": set[str]()}


def shown(exposition: str) -> dict[str, set[str]]:
    """Name of each series → labels that were seen, of all that `/metrics` tells.

    Not by Prometheus' own parser, which puts `_total` behind Triton's counters.
    """
    found: dict[str, set[str]] = {}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", exposition, re.MULTILINE):
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {name + suffix: set() for suffix in suffixes}
    for name, labels in re.findall(r"^(\w+)(?:{(.*)})? \S+$", exposition, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def documented() -> dict[str, set[str]]:
    """The labels of the gateway's metrics, as the table has them, which another test holds."""
    rows = re.findall(r"^\| (`gateway_.*?) \| (.*?) ?\| ", PAGE.read_text(), re.MULTILINE)
    word = re.compile(r"`(\w+)`")
    return {
        name: set(word.findall(labels)) for names, labels in rows for name in word.findall(names)
    }


def unknown_in(expression: str, known: dict[str, set[str]]) -> set[str]:
    """Metrics and labels that an expression asks for and nobody tells.

    known  series → its labels, those of targets left out
    """
    asked = asked_in(expression)
    all_labels = TARGET | {"le"}
    wrong: set[str] = set()
    for selector in asked.selectors:
        labels = known.get(selector.metric)
        if labels is None:
            wrong.add(selector.metric)
            continue
        all_labels |= labels
        wrong |= {f"{selector.metric}{{{one}}}" for one in set(selector.matchers) - labels - TARGET}
    return wrong | (asked.grouping - all_labels)


def told_by(gateway: str, triton: str) -> dict[str, set[str]]:
    """All that can be asked for, from what both show; of the gateway's labels the table knows all,
    since some are told only when something has happened."""
    table = documented()
    known = shown(gateway) | shown(triton)
    for name in known:
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        known[name] |= table.get(name, table.get(family, set()))
    return known | ELSEWHERE
