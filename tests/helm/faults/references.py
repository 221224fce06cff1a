"""What manifests say of each other: names, selectors, ports, targets."""

import re
from collections.abc import Iterator
from typing import Any

from tests.helm.chart import Manifest
from tests.helm.faults.containers import twice
from tests.helm.faults.pods import Pod, pods

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?")
_VERSIONS = {"app.kubernetes.io/version", "helm.sh/chart"}
_SPREADS = {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
_INSTANCE = "app.kubernetes.io/instance"
HOOKS = {
    f"{when}-{what}"
    for when in ("pre", "post")
    for what in ("install", "upgrade", "rollback", "delete")
} | {"test"}


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] in kinds]


def name_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def metadata_faults(manifests: list[Manifest]) -> Iterator[str]:
    """Names, labels and hooks."""
    names = [(one["kind"], name_of(one)) for one in manifests]
    yield from (f"{kind}/{name}: twice" for kind, name in twice(names))
    for one in manifests:
        metadata, where = one["metadata"], f"{one['kind']}/{name_of(one)}"
        if not _NAME.fullmatch(metadata["name"]):
            yield f"{where}: no name of 63 small letters, digits and hyphens"
        if one["kind"] == "Service" and metadata["name"][0].isdigit():
            yield f"{where}: begins with no letter"
        if "namespace" in metadata:
            yield f"{where}: a namespace of its own"
        inner = one.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
        for key, value in [*metadata["labels"].items(), *inner.items()]:
            if not (_LABEL.fullmatch(value) and _LABEL_KEY.fullmatch(key)):
                yield f"{where}: label {key}={value!r}"
        hooks = metadata.get("annotations", {}).get("helm.sh/hook", "test").split(",")
        yield from (f"{where}: no hook {hook!r}" for hook in hooks if hook not in HOOKS)


def selected(selector: Manifest, among: list[Pod]) -> list[Pod]:
    """The pods that a selector of labels finds."""
    return [pod for pod in among if selector.items() <= pod.labels.items()]


def selector_faults(manifests: list[Manifest]) -> Iterator[str]:
    """Each selector finds one kind of pods, whatever version they have."""
    among = pods(manifests)
    for one in of_kind(manifests, "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"):
        where, spec = f"{one['kind']}/{name_of(one)}", one["spec"]
        labels = spec.get("podSelector") or spec["selector"]
        labels = labels.get("matchLabels", labels)
        if _VERSIONS & set(labels):
            yield f"{where}: selects by a version, which an upgrade changes"
        found = {pod.name for pod in selected(labels, among)}
        if one["kind"] == "Deployment" and found != {name_of(one)}:
            yield f"{where}: selects {sorted(found) or 'no pods'}, not its own"
        elif len(found) != 1:
            yield f"{where}: selects {sorted(found) or 'no pods'}"
    for pod in among:
        for spread in pod.spec.get("topologySpreadConstraints", []):
            if spread["topologyKey"] not in _SPREADS:
                yield f"{pod.kind}/{pod.name}: spreads over {spread['topologyKey']!r}"
            if pod not in selected(spread["labelSelector"]["matchLabels"], among):
                yield f"{pod.kind}/{pod.name}: spreads over other pods than its own"


def port_names(found: list[Pod]) -> set[str]:
    return {
        port["name"]
        for pod in found
        for container in pod.spec["containers"]
        for port in container.get("ports", [])
    }


def service_faults(manifests: list[Manifest]) -> Iterator[str]:
    """Services lead to ports that are there; monitors, routes and gateways to Services."""
    among = pods(manifests)
    for one in of_kind(manifests, "Service"):
        where, ports = f"Service/{name_of(one)}", one["spec"]["ports"]
        there = port_names(selected(one["spec"]["selector"], among))
        for port in ports:
            if port["targetPort"] not in there:
                yield f"{where}: no pod names its port {port['targetPort']!r}"
            if "protocol" not in port:
                yield f"{where}: port {port['name']!r} has no protocol"
        for key in ("name", "port"):
            yield from (f"{where}: two ports {port}" for port in twice(p[key] for p in ports))
    for one in of_kind(manifests, "ServiceMonitor"):
        yield from (f"ServiceMonitor/{name_of(one)}: {f}" for f in _monitor_faults(one, manifests))
    for kind, name, port in backends(manifests):
        ports = [p for one in of_kind(manifests, "Service") if name_of(one) == name
                 for p in one["spec"]["ports"]]  # fmt: skip
        if port not in [value for p in ports for value in (p["name"], p["port"])]:
            yield f"{kind}: no Service {name!r} with a port {port!r}"
    yield from _triton_faults(manifests)


def _monitor_faults(monitor: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    labels = monitor["spec"]["selector"]["matchLabels"]
    found = [
        one
        for one in of_kind(manifests, "Service")
        if labels.items() <= one["metadata"]["labels"].items()
    ]
    if len(found) != 1:
        yield f"selects {len(found)} Services"
        return
    ports = {port["name"] for port in found[0]["spec"]["ports"]}
    for endpoint in monitor["spec"]["endpoints"]:
        if endpoint["port"] not in ports:
            yield f"no port {endpoint['port']!r} in its Service"


def backends(manifests: list[Manifest]) -> Iterator[tuple[str, str, Any]]:
    """Who leads callers to which port of which Service."""
    for one in of_kind(manifests, "Ingress"):
        for rule in one["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield f"Ingress/{name_of(one)}", service["name"], *service["port"].values()
    for one in of_kind(manifests, "HTTPRoute"):
        for rule in one["spec"]["rules"]:
            for service in rule["backendRefs"]:
                yield f"HTTPRoute/{name_of(one)}", service["name"], service["port"]


def _triton_faults(manifests: list[Manifest]) -> Iterator[str]:
    """A gateway asks a Service of ours by a name that stands for every Triton; or another's."""
    services = {name_of(one): one["spec"] for one in of_kind(manifests, "Service")}
    for pod in pods(manifests):
        address = pod.variables.get("GATEWAY_TRITON_ADDRESS", "")
        name, _, port = address.removeprefix("dns:///").partition(":")
        if not name.startswith(f"{own_name(manifests)}-"):
            continue
        spec = services.get(name, {})
        if port not in {str(one["port"]) for one in spec.get("ports", [])}:
            yield f"{pod.name}: no Service at {address}"
        elif spec.get("clusterIP") != "None":
            yield f"{pod.name}: {address} stands for one address, not for every Triton"


def ingress_faults(manifests: list[Manifest]) -> Iterator[str]:
    for one in of_kind(manifests, "Ingress"):
        hosts = {rule.get("host") for rule in one["spec"]["rules"]}
        for tls in one["spec"].get("tls", []):
            if not set(tls["hosts"]) <= hosts:
                yield f"Ingress/{name_of(one)}: a certificate for {tls['hosts']}, which it lacks"


def own_name(manifests: list[Manifest]) -> str:
    """What all names of the release begin with."""
    return name_of(of_kind(manifests, "ServiceAccount")[0])


def owned_faults(manifests: list[Manifest]) -> Iterator[str]:
    """What a pod takes from the chart is made by it; other names are the user's."""
    made = {(one["kind"], name_of(one)) for one in manifests}
    for pod in pods(manifests):
        for kind, name in _used(pod.spec):
            ours = kind == "ServiceAccount" or name.startswith(f"{own_name(manifests)}-")
            if ours and (kind, name) not in made:
                yield f"{pod.kind}/{pod.name}: no {kind} {name!r}"


def _used(spec: Manifest) -> Iterator[tuple[str, str]]:
    yield "ServiceAccount", spec.get("serviceAccountName", "default")
    for volume in spec.get("volumes", []):
        for key, kind, name in (
            ("secret", "Secret", "secretName"),
            ("configMap", "ConfigMap", "name"),
            ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
        ):
            if key in volume:
                yield kind, volume[key][name]
    for container in spec.get("initContainers", []) + spec["containers"]:
        for variable in container.get("env", []):
            for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if key in variable.get("valueFrom", {}):
                    yield kind, variable["valueFrom"][key]["name"]


def policy_faults(manifests: list[Manifest]) -> Iterator[str]:
    """NetworkPolicies name ports and pods that are there; Triton reaches nothing."""
    among = pods(manifests)
    for one in of_kind(manifests, "NetworkPolicy"):
        where, spec = f"NetworkPolicy/{name_of(one)}", one["spec"]
        own = selected(spec["podSelector"]["matchLabels"], among)
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, []):
                others = [pod for peer in rule.get(peers, []) for pod in _peers(peer, among)]
                yield from (f"{where}: {f}" for f in _peer_faults(rule.get(peers, []), among))
                if direction == "egress" and not others:  # pods of others, whose ports nobody knows
                    continue
                there = port_names(own if direction == "ingress" else others)
                for port in rule.get("ports", []):
                    if isinstance(port.get("port"), str) and port["port"] not in there:
                        yield f"{where}: {direction} at {port['port']!r}, which no pod names"
        if any(pod.component == "triton" for pod in own):
            yield from (f"{where}: {fault}" for fault in _isolation_faults(spec))


def _peers(peer: Manifest, among: list[Pod]) -> list[Pod]:
    return selected(peer.get("podSelector", {}).get("matchLabels", {"": ""}), among)


def _peer_faults(peers: list[Manifest], among: list[Pod]) -> Iterator[str]:
    """Of peers within the release; the others are the user's."""
    for peer in peers:
        labels = peer.get("podSelector", {}).get("matchLabels", {})
        if _INSTANCE in labels and not _peers(peer, among):
            yield f"a peer that is no pod: {labels}"


def _isolation_faults(spec: Manifest) -> Iterator[str]:
    if set(spec["policyTypes"]) != {"Ingress", "Egress"} or spec.get("egress"):
        yield "Triton reaches more than nothing"
    if not all(rule.get("from") for rule in spec["ingress"]):
        yield "everybody reaches Triton"
