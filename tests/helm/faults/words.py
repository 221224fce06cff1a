"""Words of which Kubernetes knows a few, and its published schemas none."""

from collections.abc import Iterator
from typing import Any

from tests.helm.chart import Manifest

_WORDS = {
    "effect": {"NoSchedule", "PreferNoSchedule", "NoExecute"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "medium": {"", "Memory"},
    "metricType": {"AverageValue", "Value", "Utilization"},
    "operator": {"Exists", "Equal", "In", "NotIn", "DoesNotExist", "Gt", "Lt"},
    "pathType": {"Exact", "Prefix", "ImplementationSpecific"},
    "policyTypes": {"Ingress", "Egress"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "pullPolicy": {"Always", "IfNotPresent", "Never"},
    "unhealthyPodEvictionPolicy": {"IfHealthyBudget", "AlwaysAllow"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
}
_OF_SERVICES = {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}


def word_faults(manifests: list[Manifest]) -> Iterator[str]:
    for one in manifests:
        where = f"{one['kind']}/{one['metadata']['name']}"
        for key, word in _words(one.get("spec", {})):
            if word not in _WORDS[key]:
                yield f"{where}: {key} {word!r} is none of {', '.join(sorted(_WORDS[key]))}"
        if one["kind"] == "Service" and one["spec"].get("type", "ClusterIP") not in _OF_SERVICES:
            yield f"{where}: no type {one['spec']['type']!r}"


def _words(part: Any) -> Iterator[tuple[str, str]]:
    """Keys of the table with their words, wherever they stand."""
    if isinstance(part, list):
        for one in part:
            yield from _words(one)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in _WORDS and not isinstance(value, dict):
                yield from ((key, word) for word in (value if isinstance(value, list) else [value]))
            else:
                yield from _words(value)
