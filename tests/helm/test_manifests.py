"""What is rendered fits together, and the pods are locked down."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.settings import VARIABLES
from tests.helm.chart import (
    WORKED,
    Manifest,
    Values,
    changed,
    pick,
    pod_specs,
    render,
    worked,
)

ROOT = Path(__file__).parents[2]


def parts() -> Iterator[tuple[str, Values]]:
    """Worked values, and each with what is off switched on, and the other way round."""
    for file in WORKED:
        yield file.stem, yaml.safe_load(file.read_text())
    cpu, gpu = worked("cpu"), worked("gpu")
    metrics: list[Manifest] = [{"namespaceSelector": {}}]
    volume = {"name": "tls", "secret": {"secretName": "tls"}}
    mount = {"name": "tls", "mountPath": "/tls", "readOnly": True}
    yield "open", changed(cpu, {"gateway.auth": {"mode": "off"}, "networkPolicy.enabled": False})
    yield (
        "watched",
        changed(
            cpu,
            {
                "networkPolicy": {"metricsFrom": metrics, "nodeCIDRs": ["10.0.0.0/8"]},
                "monitoring": {"serviceMonitor": {"enabled": True, "labels": {"release": "p"}}},
            },
        ),
    )
    yield (
        "routed",
        changed(
            cpu,
            {
                "ingress": {"enabled": True, "host": "e.example.org", "tlsSecret": "e-tls"},
                "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
            },
        ),
    )
    yield "claimed GPU", changed(gpu, {"triton.gpu": {"resourceClaimTemplate": "one-gpu"}})
    yield "MIG", changed(gpu, {"triton.gpu": {"resourceName": "nvidia.com/mig-1g.10gb"}})
    yield (
        "TLS",
        changed(
            cpu,
            {
                "gateway.config": {"tlsCertFile": "/tls/tls.crt", "tlsKeyFile": "/tls/tls.key"},
                "gateway.extraVolumes": [volume],
                "gateway.extraVolumeMounts": [mount],
            },
        ),
    )
    yield (
        "scheduled",
        changed(
            gpu,
            {
                f"{component}.{key}": value
                for component in ("gateway", "triton")
                for key, value in {
                    "podAnnotations": {"a": "b"},
                    "podLabels": {"app.kubernetes.io/component": "other", "team": "search"},
                    "podSecurityContext": {"runAsUser": 1234, "fsGroup": 5678},
                    "extraEnv": [{"name": "OTEL_SDK_DISABLED", "value": "true"}],
                    "scheduling": {
                        "nodeSelector": {"pool": "one"},
                        "tolerations": [{"key": "pool", "operator": "Exists"}],
                        "affinity": {"nodeAffinity": {}},
                        "priorityClassName": "high",
                        "runtimeClassName": "gvisor",
                        "topologySpread": False,
                    },
                }.items()
            },
        ),
    )


VARIANTS = dict(parts())


@pytest.fixture(params=VARIANTS, ids=str)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(VARIANTS[request.param])


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for name, spec in pod_specs(manifests):
        for container in spec.get("initContainers", []) + spec["containers"]:
            yield name, container


def deployments(manifests: list[Manifest]) -> list[Manifest]:
    return [one for one in manifests if one["kind"] == "Deployment"]


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


def test_no_pod_chooses_a_user_or_holds_a_token() -> None:
    """OpenShift gives a user to each namespace, and nothing here asks the API server."""
    for _, spec in pod_specs(render(worked("gpu"))):
        assert set(spec["securityContext"]) == {"runAsNonRoot", "seccompProfile"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False


def test_scheduling_reaches_every_pod() -> None:
    for name, spec in pod_specs(render(VARIANTS["scheduled"])):
        assert spec["nodeSelector"] == {"pool": "one"}, name
        assert {"key": "pool", "operator": "Exists"} in spec["tolerations"]
        assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("high", "gvisor")
        assert spec["securityContext"]["fsGroup"] == 5678
        assert "topologySpreadConstraints" not in spec


def test_pull_secrets_reach_every_pod() -> None:
    for _, spec in pod_specs(render({**worked("cpu"), "imagePullSecrets": [{"name": "pull"}]})):
        assert spec["imagePullSecrets"] == [{"name": "pull"}]


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


def test_names_fit_for_long_releases() -> None:
    for one in render({**worked("cpu"), "fullnameOverride": "a" * 63}):
        assert len(one["metadata"]["name"]) <= 63


def test_budgets_leave_a_pod(manifests: list[Manifest]) -> None:
    for one in manifests:
        if one["kind"] == "PodDisruptionBudget":
            assert one["spec"]["maxUnavailable"] == 1
            assert one["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_a_single_pod_has_no_budget_that_would_block_a_drain() -> None:
    kinds = [one["kind"] for one in render(worked("gpu"))]
    assert "PodDisruptionBudget" not in kinds
    assert [one["kind"] for one in render(worked("cpu"))].count("PodDisruptionBudget") == 2


def test_no_replicas_beside_an_autoscaler() -> None:
    scaled, fixed = render(worked("autoscaling")), render(worked("cpu"))
    assert ["replicas" in one["spec"] for one in deployments(scaled)] == [False, False]
    assert [one["spec"]["replicas"] for one in deployments(fixed)] == [2, 2]
    for kind, suffix in (("HorizontalPodAutoscaler", "-gateway"), ("ScaledObject", "-triton")):
        target = pick(scaled, kind)["spec"]["scaleTargetRef"]["name"]
        assert target == pick(scaled, "Deployment", suffix)["metadata"]["name"]


def test_grace_is_longer_than_stopping_takes() -> None:
    """docs/operations.md: drain, timeout and 3 seconds; of Triton preStop and exit timeout."""
    values = changed(worked("cpu"), {"gateway.config": {"timeoutSeconds": 90.5, "drainSeconds": 7}})
    manifests = render(values)
    gateway, triton = (one["spec"]["template"]["spec"] for one in deployments(manifests))
    assert gateway["terminationGracePeriodSeconds"] > 7 + 90.5 + 3
    (container,) = triton["containers"]
    asleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    exit_timeout = int(argument(container, "--exit-timeout-secs"))
    assert exit_timeout > 90.5
    assert triton["terminationGracePeriodSeconds"] >= asleep + exit_timeout + 5


def test_grace_knows_the_timeout_of_the_gateway() -> None:
    spec = pick(render(worked("cpu")), "Deployment", "-gateway")["spec"]["template"]["spec"]
    timeout = VARIABLES["timeout_seconds"].default
    assert isinstance(timeout, float)
    assert spec["terminationGracePeriodSeconds"] > 10 + timeout + 3


def test_the_gateway_finds_every_triton() -> None:
    """A Service with an address of its own would be one Triton to it."""
    assert pick(render(worked("cpu")), "Service", "-triton-headless")["spec"]["clusterIP"] == "None"


def argument(container: Manifest, name: str) -> str:
    """Value of one of the arguments of tritonserver."""
    (found,) = (one for one in container["args"] if one.startswith(f"{name}="))
    return found.partition("=")[2]


def triton_of(values: Values) -> Manifest:
    (container,) = pick(render(values), "Deployment", "-triton")["spec"]["template"]["spec"][
        "containers"
    ]
    return container


def test_a_rollout_of_gpus_needs_no_spare_one() -> None:
    spec = pick(render(worked("gpu")), "Deployment", "-triton")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert spec["minReadySeconds"] == 5
    gateway = pick(render(worked("gpu")), "Deployment", "-gateway")["spec"]
    assert gateway["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_devices_come_from_a_plugin_or_a_claim() -> None:
    assert triton_of(worked("gpu"))["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in str(triton_of(worked("cpu")))
    claimed = pick(render(VARIANTS["claimed GPU"]), "Deployment", "-triton")
    pod = claimed["spec"]["template"]["spec"]
    assert pod["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    assert pod["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]
    assert "nvidia.com/gpu" not in str(pod["containers"])


def test_gpu_metrics_are_off_where_triton_has_none() -> None:
    flags = {
        name: argument(triton_of(values), "--allow-gpu-metrics")
        for name, values in [
            ("gpu", worked("gpu")),
            ("cpu", worked("cpu")),
            ("mig", VARIANTS["MIG"]),
        ]
    }
    assert flags == {"gpu": "true", "cpu": "false", "mig": "false"}


def test_loading_may_take_the_minutes_that_are_given() -> None:
    container = triton_of(changed(worked("gpu"), {"triton.startupMinutes": 25}))
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 25 * 60
    assert not [key for key in container if "initialDelay" in str(container[key])]


def test_the_model_is_mounted_read_only_from_an_image_or_a_claim() -> None:
    for name, source in (("gpu", "image"), ("cpu", "persistentVolumeClaim")):
        manifests = render(changed(worked(name), {"model.path": "models/one"}))
        spec = pick(manifests, "Deployment", "-triton")["spec"]["template"]["spec"]
        (volume,) = (one for one in spec["volumes"] if one["name"] == "repository")
        assert source in volume
        (container,) = spec["containers"]
        assert {"name": "repository", "mountPath": "/repository", "readOnly": True} in container[
            "volumeMounts"
        ]
        assert argument(container, "--model-repository") == "/repository/models/one"


def test_a_digest_wins_over_a_tag_and_the_version_is_the_default() -> None:
    digest = "sha256:" + "a" * 64
    images = {"tag": "2", "digest": ""}, {"tag": "2", "digest": digest}, {"tag": "", "digest": ""}
    found = []
    for image in images:
        changes = {f"triton.image.{key}": value for key, value in image.items()}
        found.append(triton_of(changed(worked("cpu"), changes))["image"])
    name = "registry.example.org/triton-embeddings/triton-cpu"
    assert found == [f"{name}:2", f"{name}@{digest}", f"{name}:0.1.0"]


def test_triton_reaches_nothing_and_only_gateways_reach_it() -> None:
    manifests = render(worked("cpu"))
    spec = pick(manifests, "NetworkPolicy", "-triton")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in spec
    gateway = pick(manifests, "Deployment", "-gateway")["spec"]["selector"]
    assert spec["ingress"] == [
        {"ports": [{"port": "grpc", "protocol": "TCP"}], "from": [{"podSelector": gateway}]}
    ]


def test_nobody_reads_metrics_unless_named() -> None:
    """A rule without peers would let everybody in."""
    for name in ("cpu", "watched"):
        spec = pick(render(VARIANTS.get(name, worked("cpu"))), "NetworkPolicy", "-gateway")["spec"]
        (rule,) = (one for one in spec["ingress"] if one["ports"][0]["port"] == "operations")
        assert len(rule["from"]) == {"cpu": 1, "watched": 3}[name]


def test_policies_can_be_left_to_others() -> None:
    assert "NetworkPolicy" not in [one["kind"] for one in render(VARIANTS["open"])]


def test_operations_never_share_a_service_with_calls() -> None:
    manifests = render(changed(worked("cpu"), {"gateway.service": {"type": "LoadBalancer"}}))
    calls = pick(manifests, "Service", "-gateway")["spec"]
    operations = pick(manifests, "Service", "-gateway-operations")["spec"]
    assert [port["name"] for port in calls["ports"]] == ["http"]
    assert (calls["type"], operations["type"]) == ("LoadBalancer", "ClusterIP")


def test_callers_come_by_an_ingress_or_a_route_if_asked_for() -> None:
    manifests = render(VARIANTS["routed"])
    service = pick(manifests, "Service", "-gateway")
    (rule,) = pick(manifests, "Ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {
        "name": service["metadata"]["name"],
        "port": {"name": service["spec"]["ports"][0]["name"]},
    }
    (rule,) = pick(manifests, "HTTPRoute")["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": 80}]
    timeout = VARIABLES["timeout_seconds"].default
    assert isinstance(timeout, float)
    assert int(rule["timeouts"]["request"].removesuffix("s")) > timeout
    assert not {"Ingress", "HTTPRoute"} & {one["kind"] for one in render(worked("cpu"))}


def metrics_of_the_documentation() -> set[str]:
    text = (ROOT / "docs" / "operations.md").read_text()
    return set(re.findall(r"`(gateway_[a-z_]+)`", text))


def test_triggers_ask_for_documented_metrics_of_this_release_alone() -> None:
    for trigger in pick(render(worked("autoscaling")), "ScaledObject")["spec"]["triggers"]:
        metadata = trigger["metadata"]
        (metric,) = re.findall(r"gateway_[a-z_]+", metadata["query"])
        assert metric in metrics_of_the_documentation()
        labels = '{namespace="prod",service="e-triton-embeddings-gateway-operations"}'
        assert labels in metadata["query"]
        assert metadata["ignoreNullValues"] == "false"
    fallback = pick(render(worked("autoscaling")), "ScaledObject")["spec"]["fallback"]
    assert fallback["behavior"] == "currentReplicasIfHigher"


def test_thresholds_follow_the_capacity_of_a_pod() -> None:
    values = changed(worked("autoscaling"), {"triton.capacityTokensPerSecond": 1_760_000})
    triggers = pick(render(values), "ScaledObject")["spec"]["triggers"]
    assert [one["metadata"]["threshold"] for one in triggers] == ["1232000", "1760000"]


def test_monitors_scrape_ports_of_services() -> None:
    manifests = render(VARIANTS["watched"])
    for suffix, service in (("-gateway", "-gateway-operations"), ("-triton", "-triton-headless")):
        (endpoint,) = pick(manifests, "ServiceMonitor", suffix)["spec"]["endpoints"]
        ports: list[Any] = pick(manifests, "Service", service)["spec"]["ports"]
        assert endpoint["port"] in {port["name"] for port in ports}
    assert "ServiceMonitor" not in [one["kind"] for one in render(worked("cpu"))]
