"""Our HPA beside Kubernetes' own: the same values to both, and what they make of them.

    python -m tests.scaling.controller --seconds 300

A real API server and a real controller (`make cluster` builds them) scale a Deployment by the
chart's behavior, fifteen times as fast. External metrics are objects of a resource of their own.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tests.cluster.api import Api, ApiError, place, wait_for
from tests.cluster.build import VERSION
from tests.cluster.control_plane import control_plane
from tests.helm.chart import pick, render, worked
from tests.scaling.hpa import SYNC_SECONDS, Autoscaler, Metric, read_rules

SPEED = SYNC_SECONDS  # the controller of tests/cluster looks once a second
NAMESPACE, NAME = "default", "e"
GROUP, RBAC = "external.metrics.k8s.io", "rbac.authorization.k8s.io"
VALUES = f"/apis/{GROUP}/v1beta1/namespaces/{NAMESPACE}/values"
AUTOSCALERS = f"/apis/autoscaling/v2beta2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
SIGNALS = ("load", "backlog")
TARGET = 1000
Values: TypeAlias = tuple[float | None, float | None]
Course: TypeAlias = list[tuple[float, int]]  # seconds, and pods from then on


def hurried(behavior: dict[str, Any]) -> dict[str, Any]:
    """The chart's behavior with all times as many times shorter."""
    return {
        direction: {
            "stabilizationWindowSeconds": round(rules["stabilizationWindowSeconds"] / SPEED),
            "selectPolicy": rules.get("selectPolicy", "Max"),
            "policies": [
                policy | {"periodSeconds": round(policy["periodSeconds"] / SPEED)}
                for policy in rules["policies"]
            ],
        }
        for direction, rules in behavior.items()
    }


def series(seed: int) -> Iterator[tuple[Values, float]]:
    """Values in pods' worth, and the seconds that they stay: much work, then little for longer.

    Now and then one of them is missing, or both.
    """
    chance = random.Random(seed)  # noqa: S311 - the same at every run
    while True:
        for fewest, most, times in ((2.0, 9.0, 5), (0.2, 1.5, 14)):
            for _ in range(times):
                load = chance.uniform(fewest, most)
                backlog = chance.choice((0.0, 0.0, 0.5, 4.0)) if most > 2 else 0.0
                missing = chance.random()
                yield (
                    (None if missing < 0.1 else load, None if 0.05 < missing < 0.15 else backlog),
                    chance.choice((3.0, 5.0, 8.0)),
                )


def prepare(api: Api, least: int, most: int, behavior: dict[str, Any]) -> None:
    """The resource of metrics, a Deployment and its HorizontalPodAutoscaler."""
    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _resource_of_metrics())
    wait_for(lambda: _is_served(api), "the resource of metrics")
    everybody = {"kind": "Group", "name": "system:authenticated", "apiGroup": RBAC}
    rules = [
        {"apiGroups": [GROUP], "resources": ["values"], "verbs": ["list"]},
        {"apiGroups": ["policy"], "resources": ["podsecuritypolicies"], "verbs": ["use"]},
    ]
    anyone = {"rule": "RunAsAny"}
    policy = dict.fromkeys(("runAsUser", "seLinux", "supplementalGroups", "fsGroup"), anyone)
    name = {"metadata": {"name": NAME}}
    api.create("/apis/policy/v1beta1/podsecuritypolicies", {**name, "spec": policy})
    api.create(f"/apis/{RBAC}/v1/clusterroles", {**name, "rules": rules})
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": NAME}
    binding = {**name, "roleRef": role, "subjects": [everybody]}
    api.create(f"/apis/{RBAC}/v1/clusterrolebindings", binding)
    tell(api, (1.0, 0.0))
    labels = {"app": NAME}
    containers = [{"name": NAME, "image": NAME}]
    pod = {"containers": containers, "automountServiceAccountToken": False}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": least, "selector": {"matchLabels": labels}, "template": template}
    api.create(place("deployments", NAMESPACE), {**name, "spec": spec})
    deployment = place("deployments", NAMESPACE, NAME)
    wait_for(lambda: api.get(deployment)["status"].get("replicas") == least, "the first pods")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most}
    spec |= {"behavior": behavior, "metrics": [_metric(signal) for signal in SIGNALS]}
    api.create(AUTOSCALERS, {**name, "spec": spec})


def _resource_of_metrics() -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True}
    kinds = {"kind": "ExternalMetricValue", "listKind": "ExternalMetricValueList"}
    return {
        "metadata": {
            "name": f"values.{GROUP}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "values", "singular": "value", **kinds},
            "versions": [version | {"schema": {"openAPIV3Schema": anything}}],
        },
    }


def _is_served(api: Api) -> bool:
    try:
        return "items" in api.get(VALUES)
    except ApiError:
        return False


def _metric(signal: str) -> dict[str, Any]:
    metric = {"name": "values", "selector": {"matchLabels": {"signal": signal}}}
    target = {"type": "AverageValue", "averageValue": str(TARGET)}
    return {"type": "External", "external": {"metric": metric, "target": target}}


def tell(api: Api, values: Values) -> None:
    """Replaces what the controller finds; a value that is missing is no object."""
    for signal, value in zip(SIGNALS, values, strict=True):
        try:
            api.delete(f"{VALUES}/{signal}")
        except ApiError as error:
            if error.status != 404:
                raise
        if value is not None:
            body = {
                "apiVersion": f"{GROUP}/v1beta1",
                "kind": "ExternalMetricValue",
                "metadata": {"name": signal, "labels": {"signal": signal}},
                "metricName": "values",
                "metricLabels": {},
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "value": f"{round(1000 * TARGET * value)}m",
            }
            api.create(VALUES, body)


def compare(
    api: Api, ours: Autoscaler, least: int, seconds: float, seed: int
) -> tuple[Course, Course]:
    """What ours did, which looks once a second too, and what the real one did."""
    deployment = place("deployments", NAMESPACE, NAME)
    source, until, look_at = series(seed), 0.0, 0.0
    values: Values = (1.0, 0.0)
    mine: Course = [(0.0, least)]
    real: Course = [(0.0, least)]
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        if now >= until:
            values, span = next(source)
            tell(api, values)
            until = now + span
        if now >= look_at:
            look_at += 1.0
            metrics = [None if one is None else Metric(TARGET * one, TARGET) for one in values]
            _note(mine, now, ours.decide(mine[-1][1], metrics))
        _note(real, now, api.get(deployment)["spec"]["replicas"])
        time.sleep(0.1)
    return mine, real


def _note(course: Course, now: float, pods: int) -> None:
    if pods != course[-1][1]:
        course.append((round(now, 1), pods))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 if both did not make the same changes in the same order."""
    parser = argparse.ArgumentParser(prog="python -m tests.scaling.controller", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(arguments)
    spec = pick(render(worked("autoscaling")), "ScaledObject")["spec"]
    least, most = spec["minReplicaCount"], spec["maxReplicaCount"]
    behavior = hurried(spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])
    up, down = read_rules(behavior["scaleUp"]), read_rules(behavior["scaleDown"])
    with (
        tempfile.TemporaryDirectory() as folder,
        control_plane(Path(folder)) as plane,
        plane.api() as api,
    ):
        prepare(api, least, most, behavior)
        time.sleep(down.stabilization_seconds / 10)  # it has looked once at least
        ours = Autoscaler(least, most, up, down, time.monotonic)
        mine, real = compare(api, ours, least, options.seconds, options.seed)
    is_same = [pods for _, pods in mine] == [pods for _, pods in real]
    apart = [abs(one - other) for (one, _), (other, _) in zip(mine, real, strict=False)]
    print(f"Kubernetes {VERSION}: {len(real) - 1} changes, as ours: {is_same}")
    print(f"at most {max(apart):.1f} s apart\nours {mine}\nreal {real}")
    return int(not is_same)


if __name__ == "__main__":
    sys.exit(main())
