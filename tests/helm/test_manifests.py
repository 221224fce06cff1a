"""What is rendered fits together, and the pods are locked down, whatever is switched on."""

import re
from collections.abc import Iterator

import kubernetes_validate
import pytest

from tests.helm.chart import Manifest, changed, deployments, pod_specs, render
from tests.helm.variants import VARIANTS


@pytest.fixture(params=VARIANTS, ids=str)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(VARIANTS[request.param])


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for name, spec in pod_specs(manifests):
        for container in spec.get("initContainers", []) + spec["containers"]:
            yield name, container


CUSTOM = {"ServiceMonitor", "ScaledObject", "HTTPRoute"}


@pytest.mark.parametrize("kubernetes", ["1.30", "1.33", "1.37"])
@pytest.mark.parametrize("name", VARIANTS)
def test_kubernetes_knows_every_key(name: str, kubernetes: str) -> None:
    """By its schemas, which have no image volume and no claim of a device before 1.31."""
    values = VARIANTS[name]
    if kubernetes == "1.30" and values["model"]["source"] == "image":
        values = changed(values, {"model": {"source": "claim", "claim": {"name": "models"}}})
        values["triton"].pop("gpu", None)
    for one in render(values):
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, kubernetes, strict=True)


def test_every_pod_is_restricted(manifests: list[Manifest]) -> None:
    """The Pod Security standard of that name, and a read-only root."""
    for _, spec in pod_specs(manifests):
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context.get("runAsUser") != 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        allowed = {"emptyDir", "secret", "persistentVolumeClaim", "image"}
        assert {key for volume in spec.get("volumes", []) for key in volume} <= allowed | {"name"}
    for _, container in containers(manifests):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not [port for port in container.get("ports", []) if "hostPort" in port]


def test_selectors_find_pods_and_hold_no_version(manifests: list[Manifest]) -> None:
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in deployments(manifests)]
    tests = [one["metadata"]["labels"] for one in manifests if one["kind"] == "Pod"]
    for one in manifests:
        spec = one.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector")
        if not selector:
            continue
        labels = selector.get("matchLabels", selector)
        assert not {"app.kubernetes.io/version", "helm.sh/chart"} & set(labels)
        of = pods
        if one["kind"] == "ServiceMonitor":
            of = [other["metadata"]["labels"] for other in manifests if other["kind"] == "Service"]
        assert len([found for found in of if labels.items() <= found.items()]) == 1
        assert not [found for found in tests if labels.items() <= found.items()]


def test_mounts_have_volumes_and_volumes_are_mounted(manifests: list[Manifest]) -> None:
    for _, spec in pod_specs(manifests):
        volumes = [volume["name"] for volume in spec.get("volumes", [])]
        mounts = [
            mount["name"] for one in spec["containers"] for mount in one.get("volumeMounts", [])
        ]
        assert len(set(volumes)) == len(volumes)
        assert set(mounts) == set(volumes)


def test_ports_are_named_once_and_say_tcp(manifests: list[Manifest]) -> None:
    """Server-side apply wants the protocol, which is a part of the key."""
    for _, container in containers(manifests):
        ports = container.get("ports", [])
        assert all(port["protocol"] == "TCP" for port in ports)
        assert len({port["name"] for port in ports}) == len(ports)
    names = {
        port["name"]
        for _, container in containers(manifests)
        for port in container.get("ports", [])
    }
    for one in manifests:
        if one["kind"] == "Service":
            assert all(port["protocol"] == "TCP" for port in one["spec"]["ports"])
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= names
        if one["kind"] == "NetworkPolicy":
            rules = one["spec"]["ingress"] + one["spec"].get("egress", [])
            asked = {port["port"] for rule in rules for port in rule["ports"]}
            assert asked - {53, 5353} <= names


def test_probes_ask_ports_that_exist(manifests: list[Manifest]) -> None:
    for _, container in containers(manifests):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            handler = container.get(probe, {}).get("httpGet", {"port": None})["port"]
            assert handler in {None, *(port["name"] for port in container.get("ports", []))}


QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|[KMGT]i?)?")


def test_quantities_are_strings_and_devices_are_limited_as_asked(manifests: list[Manifest]) -> None:
    for _, container in containers(manifests):
        resources = container["resources"]
        requests, limits = resources["requests"], resources["limits"]
        for quantity in [*requests.values(), *limits.values()]:
            assert isinstance(quantity, str)
            assert QUANTITY.fullmatch(quantity)
        assert "memory" in limits
        devices = {key for key in requests | limits if "/" in key}
        assert {requests.get(key) == limits.get(key) for key in devices} <= {True}


def test_names_fit_a_label(manifests: list[Manifest]) -> None:
    for one in manifests:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", one["metadata"]["name"])


def test_budgets_leave_a_pod(manifests: list[Manifest]) -> None:
    for one in manifests:
        if one["kind"] == "PodDisruptionBudget":
            assert one["spec"]["maxUnavailable"] == 1
            assert one["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
