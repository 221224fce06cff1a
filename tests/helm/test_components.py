"""What each part of the chart is for."""

from typing import Any

import yaml

from gateway.settings import VARIABLES
from tests.helm.chart import (
    NAMESPACE,
    Manifest,
    Values,
    changed,
    container_of,
    deployments,
    loaded,
    pick,
    pod_specs,
    render,
    worked,
)
from tests.helm.faults.schemas import schema_faults
from tests.helm.variants import VARIANTS


def test_no_pod_chooses_a_user_or_holds_a_token() -> None:
    """OpenShift gives a user to each namespace, and nothing here asks the API server."""
    for _, spec in pod_specs(render(worked("gpu"))):
        assert set(spec["securityContext"]) == {"runAsNonRoot", "seccompProfile"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False


def test_scheduling_reaches_every_pod() -> None:
    """The Job and the test too."""
    pods = dict(pod_specs(render(VARIANTS["scheduled"])))
    assert len(pods) == 4
    for name, spec in pods.items():
        assert spec["nodeSelector"] == {"pool": "one"}, name
        assert {"key": "pool", "operator": "Exists"} in spec["tolerations"]
        assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("high", "gvisor")
        assert spec["securityContext"]["fsGroup"] == 5678
        assert "topologySpreadConstraints" not in spec


def test_pull_secrets_reach_every_pod() -> None:
    """Those of the parent too, which some write as text and some as Kubernetes does."""
    shared = {"imagePullSecrets": ["parent", {"name": "pull"}]}
    values = {**VARIANTS["exported"], "global": shared, "imagePullSecrets": [{"name": "pull"}]}
    pods = dict(pod_specs(render(values)))
    assert len(pods) == 4
    for spec in pods.values():
        assert spec["imagePullSecrets"] == [{"name": "pull"}, {"name": "parent"}]
    assert not [spec for _, spec in pod_specs(render(worked("cpu"))) if "imagePullSecrets" in spec]


def test_calls_may_stay_near_if_asked_for() -> None:
    near = changed(worked("cpu"), {"gateway.service": {"trafficDistribution": "PreferSameZone"}})
    assert pick(render(near), "Service", "-gateway")["spec"]["trafficDistribution"] == (
        "PreferSameZone"
    )
    assert "trafficDistribution" not in str(render(worked("cpu")))


def test_names_of_digits_stay_text() -> None:
    """YAML takes 0, 7113 and 1e3 for numbers, and true for none of them."""
    changes: Values = {
        "nameOverride": "true",
        "fullnameOverride": "true",
        "gateway.auth.existingSecret": "0",
        "ingress": {"enabled": True, "hosts": ["1.5"], "className": "7", "tlsSecret": "1e3"},
    }
    for part in ("gateway", "triton"):
        changes[f"{part}.scheduling"] = {"priorityClassName": "1e3", "runtimeClassName": "7113"}
    values = changed(VARIANTS["claimed GPU"], {**changes, "triton.gpu.resourceClaimTemplate": "7"})
    rendered = loaded().render(values, name="123", namespace=NAMESPACE)
    documents = [text for path, text in rendered.items() if path.endswith(".yaml")]
    manifests = [one for text in documents for one in yaml.safe_load_all(text) if one]
    assert list(schema_faults(manifests, "1.37")) == []


def test_a_single_pod_has_no_budget_that_would_block_a_drain() -> None:
    kinds = [one["kind"] for one in render(worked("gpu"))]
    assert "PodDisruptionBudget" not in kinds
    assert [one["kind"] for one in render(worked("cpu"))].count("PodDisruptionBudget") == 2


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
    stuck = container["livenessProbe"]["terminationGracePeriodSeconds"]
    assert asleep < stuck < triton["terminationGracePeriodSeconds"]


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
    return container_of(render(values), "-triton")


def test_a_rollout_of_gpus_needs_no_spare_one() -> None:
    spec = pick(render(worked("gpu")), "Deployment", "-triton")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert spec["minReadySeconds"] > 30  # for which name servers repeat an answer
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


def test_probes_and_scrapes_pass_the_policies() -> None:
    """A plug-in that polices the kubelet needs the addresses of nodes."""
    manifests = render(VARIANTS["watched"])
    passed = {"gateway": {"operations": 3}, "triton": {"http": 1, "metrics": 1}}
    for component, ports in passed.items():
        (container,) = pick(manifests, "Deployment", f"-{component}")["spec"]["template"]["spec"][
            "containers"
        ]
        rules = pick(manifests, "NetworkPolicy", f"-{component}")["spec"]["ingress"]
        peers = {rule["ports"][0]["port"]: rule.get("from") for rule in rules}
        assert {port: len(peers[port]) for port in ports} == ports
        probed = container["readinessProbe"]["httpGet"]["port"]
        assert {"ipBlock": {"cidr": "10.0.0.0/8"}} in peers[probed]


def test_other_keys_restart_nothing_and_other_settings_do() -> None:
    """The gateway reads its keys again by itself."""
    key = {"name": "other", "digest": "sha256:" + "2" * 64}
    keys = changed(worked("cpu"), {"gateway.auth.keys": [key]})
    settings = changed(worked("cpu"), {"gateway.config": {"maxTexts": 7}})
    before = deployments(render(worked("cpu")))
    assert deployments(render(keys)) == before
    gateway, triton = deployments(render(settings))
    assert gateway != before[0]
    assert triton == before[1]


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
    ingress = pick(manifests, "Ingress")["spec"]
    hosts = ["e.example.org", "*.f.example.org"]
    assert [rule["host"] for rule in ingress["rules"]] == hosts
    assert ingress["tls"] == [{"hosts": hosts, "secretName": "e-tls"}]
    for rule in ingress["rules"]:
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


def test_monitors_scrape_ports_of_services() -> None:
    manifests = render(VARIANTS["watched"])
    for suffix, service in (("-gateway", "-gateway-operations"), ("-triton", "-triton-headless")):
        (endpoint,) = pick(manifests, "ServiceMonitor", suffix)["spec"]["endpoints"]
        ports: list[Any] = pick(manifests, "Service", service)["spec"]["ports"]
        assert endpoint["port"] in {port["name"] for port in ports}
    assert "ServiceMonitor" not in [one["kind"] for one in render(worked("cpu"))]
