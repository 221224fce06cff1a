"""Metrics that exist, with their labels."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

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
    """Name of each series → labels that were seen, of all that `/metrics` tells."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        for suffix in suffixes.get(family.type, [""]):
            found[family.name + suffix] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
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
    all_labels = TARGET.copy()
    wrong: set[str] = set()
    for selector in asked.selectors:
        labels = known.get(selector.metric)
        if labels is None:
            wrong.add(selector.metric)
            continue
        all_labels |= labels
        wrong |= {f"{selector.metric}{{{one}}}" for one in set(selector.matchers) - labels - TARGET}
    return wrong | (asked.grouping - all_labels)
