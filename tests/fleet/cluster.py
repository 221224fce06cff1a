"""A small cluster of two nodes: what `helm upgrade` gives it is what then runs."""

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fleet.images import GATEWAY, TRITON
from tests.fleet.kubelet import Pod
from tests.fleet.mounted_secrets import write_secret
from tests.fleet.name_server import NameServer
from tests.fleet.namespaces import GATEWAY_OF_PODS, Mount
from tests.fleet.probes import Manifest
from tests.fleet.proxy import Proxy
from tests.fleet.rollout import Strategy
from tests.helm.chart import NAMESPACE, Values, deployments, pick, render

DOMAIN = "cluster.local"
SEARCH = f"{NAMESPACE}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}"
NODES = ("one", "two")
TICK_SECONDS = 0.1
Endpoints = dict[str, tuple[str, ...]]  # of Services by name, each `address:port`
# Until name server and proxy know of a pod's readiness, as endpoint slices and watches take.
PROPAGATION_SECONDS = 1.0
# Until the kubelet of a node has written a changed Secret; as a rule it is a minute or two.
SECRET_SECONDS = {"one": 2.0, "two": 8.0}


@dataclass
class Cluster:
    """Everything that runs.

    models         folder that stands for the claim
    faster         what periods and waits are divided by
    cache_seconds  for which the name server repeats an answer
    """

    folder: Path
    models: Path
    faster: float = 1.0
    cache_seconds: float = 0.0
    pods: list[Pod] = field(default_factory=list)
    cordoned: set[str] = field(default_factory=set)
    manifests: list[Manifest] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _numbers: int = 0
    _seen: Endpoints = field(default_factory=dict)  # endpoints of Services
    _endpoints: Endpoints = field(default_factory=dict)  # those published
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def tell(self, event: str) -> None:
        """A line of the transcript."""
        with (self.folder / "events").open("a") as file:
            file.write(f"{time.monotonic() - self.began:7.1f} {event}\n")

    async def run(self) -> None:
        """For ever."""
        proxy = Proxy(self.folder)
        await proxy.start()
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(
            lambda: NameServer(self._names, self.cache_seconds), local_addr=(GATEWAY_OF_PODS, 53)
        )
        while True:
            for task in [task for task in self.tasks if task.done()]:
                self.tasks.discard(task)
                task.result()
            self.pods = [pod for pod in self.pods if not pod.is_gone]
            for deployment in deployments(self.manifests):
                self._reconcile(deployment)
            self._schedule()
            now = {name: self._ready(service) for name, service in self._services.items()}
            if now != self._seen:
                self._seen = now
                loop.call_later(PROPAGATION_SECONDS, self._publish, now, proxy)
            await asyncio.sleep(TICK_SECONDS)

    async def apply(self, values: Values) -> None:
        """`helm install` and `helm upgrade`."""
        rendered = await asyncio.to_thread(render, values)  # callers wait for nothing of it
        before, self.manifests = self.manifests, rendered
        for one in self.manifests:
            if one["kind"] == "Secret" and one not in before:
                for node in NODES:
                    delay = SECRET_SECONDS[node] if before else 0.0
                    self._later(delay, self._secret_folder(node, one["metadata"]["name"]), one)

    def pods_of(self, suffix: str) -> list[Pod]:
        """Those of one Deployment that do not end."""
        return [pod for pod in self._pods_of(self.deployment(suffix)) if not pod.is_deleted]

    def deployment(self, suffix: str) -> Manifest:
        return pick(deployments(self.manifests), "Deployment", suffix)

    def is_rolled_out(self) -> bool:
        """Whether all pods are those wanted and available, all know it, and none ends."""
        return self._seen == self._endpoints and all(
            Strategy.read(one).is_done(self._pods_of(one), hash_of(one))
            for one in deployments(self.manifests)
        )

    def drain(self, node: str) -> None:
        """Cordons a node and evicts its pods, as far as the budgets allow: one of each."""
        self.cordoned.add(node)
        for deployment in deployments(self.manifests):
            budget = pick(self.manifests, "PodDisruptionBudget", deployment["metadata"]["name"])
            on_it = [pod for pod in self._pods_of(deployment) if pod.node == node]
            allowed = budget["spec"]["maxUnavailable"]
            for pod in [pod for pod in on_it if not pod.is_deleted][:allowed]:
                pod.delete()

    def uncordon(self, node: str) -> None:
        self.cordoned.discard(node)

    def end(self) -> None:
        """Every pod is to end."""
        self.manifests = []
        for pod in self.pods:
            pod.delete()

    def _reconcile(self, deployment: Manifest) -> None:
        wanted = hash_of(deployment)
        create, delete = Strategy.read(deployment).plan(self._pods_of(deployment), wanted)
        for pod in delete:
            pod.delete()
        for _ in range(create):
            self.pods.append(self._make(deployment, wanted))

    def _make(self, deployment: Manifest, wanted: str) -> Pod:
        self._numbers += 1
        component = component_of(deployment["spec"]["template"])
        name = f"{component}-{wanted[:4]}-{self._numbers}"
        image = {"gateway": GATEWAY, "triton": TRITON}[component]
        pod = Pod(
            name,
            deployment["spec"]["template"],
            wanted,
            image,
            self.folder / name,
            SEARCH,
            self.tell,
            self.faster,
        )
        pod.folder.mkdir()
        return pod

    def _schedule(self) -> None:
        """A node has room for one Triton, until nothing is left of it.

        A gateway goes where the fewest are.
        """
        for pod in self.pods:
            if pod.node or pod.is_deleted:
                continue
            alike = [
                other.node
                for other in self.pods
                if component_of(other.template) == component_of(pod.template)
            ]
            open_nodes = [node for node in NODES if node not in self.cordoned]
            if component_of(pod.template) == "triton":
                open_nodes = [node for node in open_nodes if node not in alike]
            if open_nodes:
                pod.node = min(open_nodes, key=alike.count)
                self._start(pod)

    def _start(self, pod: Pod) -> None:
        (container,) = pod.spec["containers"]
        paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        mounts = [
            self._mount(volume, paths[volume["name"]], pod.node) for volume in pod.spec["volumes"]
        ]
        task = asyncio.create_task(pod.run(mounts))
        self.tasks.add(task)

    def _mount(self, volume: Manifest, path: str, node: str) -> Mount:
        if "emptyDir" in volume:
            return Mount(path, size=volume["emptyDir"]["sizeLimit"])
        if "secret" in volume:
            return Mount(path, self._secret_folder(node, volume["secret"]["secretName"]))
        assert "persistentVolumeClaim" in volume, volume
        return Mount(path, self.models)

    def _secret_folder(self, node: str, name: str) -> Path:
        return self.folder / "secrets" / node / name

    def _later(self, seconds: float, folder: Path, secret: Manifest) -> None:
        def write() -> None:
            write_secret(folder, secret["stringData"])
            self.tell(f"{folder.name} of node {folder.parent.name} is written")

        if seconds:
            asyncio.get_running_loop().call_later(seconds / self.faster, write)
        else:
            write()

    @property
    def _services(self) -> dict[str, Manifest]:
        return {one["metadata"]["name"]: one for one in self.manifests if one["kind"] == "Service"}

    def _pods_of(self, deployment: Manifest) -> list[Pod]:
        selector = deployment["spec"]["selector"]["matchLabels"]
        return [pod for pod in self.pods if selector.items() <= pod.labels.items()]

    def _ready(self, service: Manifest) -> tuple[str, ...]:
        """Endpoints of a Service, each `address:port` of its first port."""
        spec = service["spec"]
        return tuple(
            f"{pod.address}:{pod.port(spec['ports'][0]['targetPort'])}"
            for pod in self.pods
            if spec["selector"].items() <= pod.labels.items()
            and (pod.is_ready or (pod.node and spec.get("publishNotReadyAddresses")))
        )

    def _publish(self, endpoints: Endpoints, proxy: Proxy) -> None:
        self._endpoints = endpoints
        self.tell(f"endpoints: {endpoints}")
        for name, served in endpoints.items():
            if name.endswith("-gateway"):
                self.tasks.add(asyncio.create_task(proxy.serve(served)))

    def _names(self) -> dict[str, list[str]]:
        return {
            f"{name}.{NAMESPACE}.svc.{DOMAIN}": [one.rsplit(":", 1)[0] for one in endpoints]
            for name, endpoints in self._endpoints.items()
        }


def component_of(template: Manifest) -> str:
    """`gateway` or `triton`."""
    return template["metadata"]["labels"]["app.kubernetes.io/component"]


def hash_of(deployment: Manifest) -> str:
    """Of its template: pods of another one are replaced."""
    text = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
