"""How many pods there are: while they roll, while nodes drain, while load changes."""

from collections.abc import Iterator

from tests.helm.chart import Manifest
from tests.helm.faults.pods import pods
from tests.helm.faults.references import name_of, of_kind, selected

_BOUNDS = {
    "HorizontalPodAutoscaler": ("minReplicas", "maxReplicas"),
    "ScaledObject": ("minReplicaCount", "maxReplicaCount"),
}


def rollout_faults(manifests: list[Manifest]) -> Iterator[str]:
    deployments = {name_of(one): one["spec"] for one in of_kind(manifests, "Deployment")}
    for name, spec in deployments.items():
        rolling = spec.get("strategy", {}).get("rollingUpdate", {})
        if {str(rolling.get(key, 1)) for key in ("maxSurge", "maxUnavailable")} <= {"0", "0%"}:
            yield f"Deployment/{name}: no pod more and no pod less, so none is ever replaced"
    fewest = {name: int(spec.get("replicas", 1)) for name, spec in deployments.items()}
    for one in of_kind(manifests, *_BOUNDS):
        where, target = f"{one['kind']}/{name_of(one)}", one["spec"]["scaleTargetRef"]["name"]
        least, most = (one["spec"][key] for key in _BOUNDS[one["kind"]])
        if least > most:
            yield f"{where}: fewest {least} above most {most}"
        reference = one["spec"]["scaleTargetRef"]
        if (reference.get("apiVersion"), reference.get("kind")) != ("apps/v1", "Deployment"):
            yield f"{where}: scales no Deployment of apps/v1"
        if target not in deployments:
            yield f"{where}: scales {target!r}, which there is not"
        elif "replicas" in deployments[target]:
            yield f"{where}: every upgrade would set the replicas of {target!r} back"
        fewest[target] = least
    yield from _budget_faults(manifests, fewest)
    yield from _trigger_faults(manifests)


def _budget_faults(manifests: list[Manifest], fewest: dict[str, int]) -> Iterator[str]:
    for one in of_kind(manifests, "PodDisruptionBudget"):
        spec, where = one["spec"], f"PodDisruptionBudget/{name_of(one)}"
        if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield f"{where}: a pod that is ill keeps a node from being drained"
        for pod in selected(spec["selector"]["matchLabels"], pods(manifests)):
            count = fewest.get(pod.name, 1)
            allowed = spec.get("maxUnavailable", count - int(spec.get("minAvailable", 0)))
            if allowed < 1:
                yield f"{where}: no node with such a pod can be drained"
            elif allowed >= count:
                yield f"{where}: all {count} may be missing"


def _trigger_faults(manifests: list[Manifest]) -> Iterator[str]:
    """Two releases must not scale each other."""
    for one in of_kind(manifests, "ScaledObject"):
        for trigger in one["spec"]["triggers"]:
            query = trigger["metadata"].get("query", "")
            if "namespace=" not in query:
                yield f"ScaledObject/{name_of(one)}: counts other releases too: {query}"
