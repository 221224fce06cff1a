"""The running cluster as proofs see it: namespaces, Helms, pods, facts."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.api import Api, Object, place, wait_for
from tests.cluster.control_plane import ControlPlane, control_plane
from tests.cluster.helm import Helm
from tests.cluster.kubelet import tended
from tests.cluster.namespaces import create_namespace, create_policies
from tests.cluster.older import copy_chart
from tests.cluster.transcript import Transcript
from tests.helm.chart import FOLDER


@dataclass(frozen=True)
class Cluster:
    """A control plane with nodes, an administrator, and the chart in a form for it."""

    plane: ControlPlane
    admin: Api
    chart: Path
    transcript: Transcript

    def team(self, namespace: str, version: str = "helm4", policy: str = "restricted") -> Helm:
        """A new namespace, and the Helm of who is its administrator."""
        create_namespace(self.admin, namespace, policy)
        return self.helm(namespace, version)

    def helm(self, namespace: str, version: str = "helm4") -> Helm:
        kubeconfig = self.plane.kubeconfig("installer")
        return Helm(version, self.plane.folder, kubeconfig, namespace)

    def list(self, kind: str, namespace: str, component: str = "") -> list[Object]:
        """What there is of a kind, all of it or that of `gateway` or `triton`."""
        query = {}
        if component:
            query["labelSelector"] = f"app.kubernetes.io/component={component}"
        return self.admin.get(place(kind, namespace), **query)["items"]

    def one(self, kind: str, namespace: str, component: str) -> Object:
        (found,) = self.list(kind, namespace, component)
        return found

    def ready_pods(self, namespace: str, component: str) -> dict[str, str]:
        """The image of each pod that takes part, by its name."""
        return {
            pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"]
            for pod in self.list("pods", namespace, component)
            if "deletionTimestamp" not in pod["metadata"] and _ready(pod)
        }

    def wait_for_pods(
        self, namespace: str, component: str, count: int = 2, tag: str = ""
    ) -> dict[str, str]:
        """The ready pods once there are so many, all of an image with this tag."""

        def settled() -> dict[str, str]:
            pods = self.ready_pods(namespace, component)
            as_wanted = [
                image for image in pods.values() if image.endswith(f":{tag}" if tag else "")
            ]
            return pods if len(pods) == len(as_wanted) == count else {}

        return wait_for(settled, f"{count} pods of {component} {tag}")

    def remove(self, namespace: str) -> None:
        """The namespace with all that is in it; its nodes are free then."""
        self.admin.delete(f"/api/v1/namespaces/{namespace}")
        wait_for(lambda: not self.list("pods", namespace), f"no pods in {namespace}")


def _ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@contextmanager
def cluster(transcript: Transcript) -> Iterator[Cluster]:
    """A cluster of four nodes, two of them with one GPU each."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as name:
        folder = Path(name)
        copy_chart(FOLDER, folder / "chart")
        with (
            control_plane(folder) as plane,
            plane.api() as admin,
            plane.api("kubelet") as api,
            tended(api),
        ):
            create_policies(admin)
            yield Cluster(plane, admin, folder / "chart", transcript)
