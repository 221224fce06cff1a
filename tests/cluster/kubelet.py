"""Nodes without machines: what a kubelet would report of its pods, without running them.

A pod that the scheduler has bound is ready after START_SECONDS; one that is not started again, as
those of Jobs and of `helm test`, has then succeeded. An image with the tag `broken` cannot be
pulled. A pod with an init container waits for every such pod of its namespace, as Triton does for
the export. A pod that is deleted is gone after STOP_SECONDS, however long its grace is.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.cluster.api import Api, ApiError, Object, place

START_SECONDS, STOP_SECONDS = 1.0, 1.0
LOOK_SECONDS, BEAT_SECONDS = 0.1, 10.0
GPU = "nvidia.com/gpu"
BROKEN = ":broken"
CONDITIONS = ("Ready", "ContainersReady")


@dataclass(frozen=True)
class Node:
    """A machine, in a zone of its own; one with GPUs has the usual taint."""

    name: str
    gpus: int = 0

    def manifest(self) -> Object:
        labels = {"kubernetes.io/hostname": self.name, "topology.kubernetes.io/zone": self.name}
        taints = [{"key": GPU, "effect": "NoSchedule"}] if self.gpus else []
        return {"metadata": {"name": self.name, "labels": labels}, "spec": {"taints": taints}}

    def status(self) -> Object:
        room = {"cpu": "32", "memory": "128Gi", "pods": "50", "ephemeral-storage": "100Gi"}
        room |= {GPU: str(self.gpus)} if self.gpus else {}
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": _now()}
        return {"status": {"capacity": room, "allocatable": room, "conditions": [ready]}}


NODES = (Node("cpu-a"), Node("cpu-b"), Node("gpu-a", 1), Node("gpu-b", 1))


@dataclass
class Kubelet:
    """Looks after the pods of all nodes."""

    api: Api
    nodes: tuple[Node, ...] = NODES
    _since: dict[tuple[str, str], float] = field(default_factory=dict)
    _beaten: float = -BEAT_SECONDS
    _number: int = 0  # of the next address

    def register(self) -> None:
        for node in self.nodes:
            self.api.create("/api/v1/nodes", node.manifest())
        self._beat()

    def look(self) -> None:
        """One round: what is new of nodes and pods."""
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._beat()
        pods = self.api.get("/api/v1/pods")["items"]
        exporting = {pod["metadata"]["namespace"] for pod in pods if _is_at_work(pod)}
        for pod in pods:
            waits = "initContainers" in pod["spec"] and pod["metadata"]["namespace"] in exporting
            if "nodeName" in pod["spec"] and not waits:
                try:
                    self._tend(pod)
                except ApiError as error:
                    if error.status not in {404, 409}:  # it has gone or changed meanwhile
                        raise

    def _beat(self) -> None:
        for node in self.nodes:
            self.api.merge(f"/api/v1/nodes/{node.name}/status", node.status())
        self._beaten = time.monotonic()

    def _tend(self, pod: Object) -> None:
        metadata = pod["metadata"]
        path = place("pods", metadata["namespace"], metadata["name"])
        if "deletionTimestamp" in metadata:
            if self._age(pod, "stopping") > STOP_SECONDS:
                self.api.delete(path, gracePeriodSeconds=0)
        elif pod["status"]["phase"] == "Pending" and self._age(pod, "starting") > START_SECONDS:
            address = {"podIP": f"10.0.{self._number // 250}.{self._number % 250 + 1}"}
            self._number += 1
            self.api.merge(f"{path}/status", {"status": report(pod) | address})

    def _age(self, pod: Object, what: str) -> float:
        """Seconds since a pod was first seen so."""
        now = time.monotonic()
        return now - self._since.setdefault((pod["metadata"]["uid"], what), now)


def _is_at_work(pod: Object) -> bool:
    return pod["spec"]["restartPolicy"] == "Never" and pod["status"]["phase"] == "Pending"


def report(pod: Object) -> Object:
    """The status of a pod that has had the time to start."""
    spec = pod["spec"]
    if any(one["image"].endswith(BROKEN) for one in spec["containers"]):
        return _status(spec, "Pending", {"waiting": {"reason": "ImagePullBackOff"}})
    if spec["restartPolicy"] == "Never":
        return _status(spec, "Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed"}})
    return _status(spec, "Running", {"running": {"startedAt": _now()}})


def _status(spec: Object, phase: str, state: Object) -> Object:
    running = phase == "Running"
    containers = [
        {"name": one["name"], "image": one["image"], "imageID": "", "restartCount": 0}
        | {"ready": running, "state": state}
        for one in spec["containers"]
    ]
    conditions = [
        {"type": kind, "status": str(running), "lastTransitionTime": _now()} for kind in CONDITIONS
    ]
    told: Object = {"phase": phase, "conditions": conditions, "containerStatuses": containers}
    return told | {"startTime": _now()}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def tended(api: Api, nodes: tuple[Node, ...] = NODES) -> Iterator[Kubelet]:
    """Nodes whose pods are looked after until the block ends.

    Raises: whatever ended the look-out, when the block ends.
    """
    kubelet = Kubelet(api, nodes)
    kubelet.register()
    stopped, errors = threading.Event(), []

    def look() -> None:
        try:
            while not stopped.wait(LOOK_SECONDS):
                kubelet.look()
        except Exception as error:  # told to the main thread
            errors.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield kubelet
    finally:
        stopped.set()
        thread.join()
        if errors:
            raise errors[0]
