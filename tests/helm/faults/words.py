"""Words of which Kubernetes knows a few, numbers that have a greatest: what no schema says."""

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
_GREATEST = 2**31 - 1  # of nearly all of Kubernetes' numbers
_LONG = {"tolerationSeconds", "terminationGracePeriodSeconds"}
_OF_SERVICES = {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}


def word_faults(manifests: list[Manifest]) -> Iterator[str]:
    for one in manifests:
        where = f"{one['kind']}/{one['metadata']['name']}"
        for key, word in _pairs(one.get("spec", {})):
            if isinstance(word, int) and abs(word) > _GREATEST and key not in _LONG:
                yield f"{where}: {key} {word} is above {_GREATEST}"
            elif key in _WORDS and word not in _WORDS[key]:
                yield f"{where}: {key} {word!r} is none of {', '.join(sorted(_WORDS[key]))}"
        if one["kind"] == "Service" and one["spec"].get("type", "ClusterIP") not in _OF_SERVICES:
            yield f"{where}: no type {one['spec']['type']!r}"


def _pairs(part: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every word and number with the key that it stands at, also of a list of them."""
    if isinstance(part, dict):
        for inner, value in part.items():
            yield from _pairs(value, inner)
    elif isinstance(part, list):
        for one in part:
            yield from _pairs(one, key)
    else:
        yield key, part
