"""What counts Tritons: KEDA or a HorizontalPodAutoscaler, by the same two signals."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.chart import Manifest, changed, deployments, pick, render, worked
from tests.helm.variants import VARIANTS

DOCS = Path(__file__).parents[2] / "docs"
BY_KEDA, BY_HPA = worked("autoscaling"), VARIANTS["HPA"]
LABELS = 'namespace="prod",service="e-triton-embeddings-gateway-operations"'


def keda() -> Manifest:
    spec: Manifest = pick(render(BY_KEDA), "ScaledObject")["spec"]
    return spec


def hpa() -> Manifest:
    spec: Manifest = pick(render(BY_HPA), "HorizontalPodAutoscaler", "-triton")["spec"]
    return spec


def adapter_rules() -> dict[str, Any]:
    """Those of the documentation, by the metric that an autoscaler asks for."""
    text = (DOCS / "kubernetes.md").read_text()
    (block,) = re.findall(r"```yaml\n(rules:\n.*?)```", text, re.DOTALL)
    return {rule["name"]["as"]: rule for rule in yaml.safe_load(block)["rules"]["external"]}


def test_no_replicas_beside_an_autoscaler() -> None:
    assert ["replicas" in one["spec"] for one in deployments(render(BY_KEDA))] == [False, False]
    assert ["replicas" in one["spec"] for one in deployments(render(BY_HPA))] == [False, False]
    fixed = render(worked("cpu"))
    assert [one["spec"]["replicas"] for one in deployments(fixed)] == [2, 2]
    kinds = {one["kind"] for one in fixed}
    assert not {"ScaledObject", "HorizontalPodAutoscaler"} & kinds


@pytest.mark.parametrize(
    ("values", "kind", "suffix"),
    [
        (BY_KEDA, "HorizontalPodAutoscaler", "-gateway"),
        (BY_KEDA, "ScaledObject", "-triton"),
        (BY_HPA, "HorizontalPodAutoscaler", "-triton"),
    ],
    ids=["gateways", "KEDA", "HPA"],
)
def test_an_autoscaler_scales_its_deployment(values: Manifest, kind: str, suffix: str) -> None:
    target = pick(render(values), kind, suffix)["spec"]["scaleTargetRef"]["name"]
    assert target == pick(render(values), "Deployment", suffix)["metadata"]["name"]


def test_triggers_ask_for_documented_metrics_of_this_release_alone() -> None:
    documented = re.findall(r"`(gateway_[a-z_]+)`", (DOCS / "operations.md").read_text())
    for trigger in keda()["triggers"]:
        metadata = trigger["metadata"]
        (metric,) = re.findall(r"gateway_[a-z_]+", metadata["query"])
        assert metric in documented
        assert f"{{{LABELS}}}" in metadata["query"]
        assert metadata["ignoreNullValues"] == "false"
    assert keda()["fallback"]["behavior"] == "currentReplicasIfHigher"


def test_an_adapter_with_the_documented_rules_answers_what_keda_asks() -> None:
    rules = adapter_rules()
    for metric, trigger in zip(hpa()["metrics"], keda()["triggers"], strict=True):
        asked = metric["external"]["metric"]
        rule = rules.pop(asked["name"])
        assert rule["resources"] == {"overrides": {"namespace": {"resource": "namespace"}}}
        matched = {"namespace": "prod", **asked["selector"]["matchLabels"]}
        labels = ",".join(f'{key}="{value}"' for key, value in matched.items())
        query = rule["metricsQuery"].replace("<<.Series>>", rule["seriesQuery"])
        assert query.replace("<<.LabelMatchers>>", labels) == trigger["metadata"]["query"]
    assert rules == {}


def test_both_count_alike_and_as_slowly() -> None:
    thresholds = [one["external"]["target"] for one in hpa()["metrics"]]
    assert thresholds == [
        {"type": "AverageValue", "averageValue": one["metadata"]["threshold"]}
        for one in keda()["triggers"]
    ]
    assert {one["metricType"] for one in keda()["triggers"]} == {"AverageValue"}
    behavior = keda()["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == hpa()["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]


def test_thresholds_follow_the_capacity_of_a_pod() -> None:
    values = changed(BY_KEDA, {"triton.capacityTokensPerSecond": 1_760_000})
    triggers = pick(render(values), "ScaledObject")["spec"]["triggers"]
    assert [one["metadata"]["threshold"] for one in triggers] == ["1232000", "5280000"]
