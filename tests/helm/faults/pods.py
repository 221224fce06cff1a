"""What is wrong with a pod as a whole, and how long it gets to stop."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.settings import VARIABLES
from tests.helm.chart import Manifest
from tests.helm.faults.containers import container_faults, twice
from tests.helm.faults.quantities import amount
from tests.helm.faults.restricted import restricted_faults

# Seconds beyond those that drain and timeout take: docs/operations.md.
SPARE_SECONDS = 3
RESTARTS = {"Deployment": {"Always"}, "Job": {"Never", "OnFailure"}, "Pod": {"Never"}}


@dataclass(frozen=True)
class Pod:
    """A pod, or the template of some."""

    kind: str
    name: str
    labels: Manifest
    spec: Manifest

    @property
    def component(self) -> str:
        return str(self.labels.get("app.kubernetes.io/component"))

    @property
    def variables(self) -> dict[str, str]:
        """Variables of its first container that stand in the manifest."""
        variables = self.spec["containers"][0].get("env", [])
        return {one["name"]: str(one["value"]) for one in variables if "value" in one}


def pods(manifests: list[Manifest]) -> list[Pod]:
    found = []
    for one in manifests:
        pod = one if one["kind"] == "Pod" else one.get("spec", {}).get("template")
        if pod:
            labels = pod["metadata"].get("labels", {})
            found.append(Pod(one["kind"], one["metadata"]["name"], labels, pod["spec"]))
    return found


def pod_faults(pod: Pod) -> Iterator[str]:
    """What makes a pod that is refused, hangs, or is let in where it should not be."""
    spec = pod.spec
    for container in spec.get("initContainers", []) + spec["containers"]:
        serves = pod.kind == "Deployment" and container in spec["containers"]
        for fault in container_faults(container, spec, serves):
            yield f"{container['name']}: {fault}"
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']}: its root can be written"
    names = [one["name"] for one in spec.get("initContainers", []) + spec["containers"]]
    yield from (f"two containers {name!r}" for name in twice(names))
    yield from _volume_faults(spec)
    yield from _memory_faults(spec)
    if spec.get("restartPolicy", "Always") not in RESTARTS[pod.kind]:
        yield f"restartPolicy {spec.get('restartPolicy')!r} in a {pod.kind}"
    for key in ("automountServiceAccountToken", "enableServiceLinks"):
        if spec.get(key) is not False:
            yield f"{key} is not false"
    yield from _stopping_faults(pod)


def security_faults(manifests: list[Manifest]) -> Iterator[str]:
    """What the Pod Security standard `restricted` says of every pod, tests and Jobs too."""
    for pod in pods(manifests):
        for fault in restricted_faults(pod.spec):
            yield f"{pod.kind}/{pod.name}: {fault}"


def _volume_faults(spec: Manifest) -> Iterator[str]:
    volumes = spec.get("volumes", [])
    yield from (f"two volumes {name!r}" for name in twice(one["name"] for one in volumes))
    mounted = {
        mount["name"]
        for one in spec.get("initContainers", []) + spec["containers"]
        for mount in one.get("volumeMounts", [])
    }
    for volume in volumes:
        if volume["name"] not in mounted:
            yield f"nobody mounts volume {volume['name']!r}"
        if len(volume) != 2:
            yield f"volume {volume['name']!r} has {len(volume) - 1} sources"


def _memory_faults(spec: Manifest) -> Iterator[str]:
    """A volume in memory counts as memory of the pod."""
    volumes = [one["emptyDir"] for one in spec.get("volumes", []) if "emptyDir" in one]
    sizes = [one.get("sizeLimit") for one in volumes if one.get("medium") == "Memory"]
    limits = [
        one.get("resources", {}).get("limits", {}).get("memory") for one in spec["containers"]
    ]
    try:
        if sum(map(amount, sizes)) >= sum(map(amount, limits)):
            yield "volumes in memory take all of its limit"
    except ValueError as error:
        yield f"memory: {error}"


def _stopping_faults(pod: Pod) -> Iterator[str]:
    """Killed in the middle of a call."""
    grace = pod.spec.get("terminationGracePeriodSeconds", 30)
    if pod.component == "gateway":
        timeout = _seconds(pod, "timeout_seconds")
        needed = _seconds(pod, "drain_seconds") + timeout + SPARE_SECONDS
    else:
        needed = max(map(_asleep, pod.spec["containers"])) + _exit_timeout(pod.spec)
    if grace < needed:
        yield f"killed after {grace} s, and stopping takes {needed:g}"


def _seconds(pod: Pod, setting: str) -> float:
    variable = VARIABLES[setting]
    return float(pod.variables.get(variable.name, str(variable.default)))


def _asleep(container: Manifest) -> float:
    return float(
        container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    )


def _exit_timeout(spec: Manifest) -> float:
    """Seconds that Triton waits for what it has, by its last argument of that name."""
    found = [
        argument.partition("=")[2]
        for argument in spec["containers"][0].get("args", [])
        if argument.startswith("--exit-timeout-secs=")
    ]
    return float(found[-1]) if found else 0.0
