"""What the chart takes as values, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart, HelmError, lint

from tests.helm.chart import FOLDER, WORKED, Values, changed, generated, loaded, render, worked
from tests.helm.table import keys

KUBERNETES = ("v1.33.0", "v1.35.0", "v1.37.0")


def errors(values: Values, kubernetes: str) -> list[str]:
    """What `helm lint --strict` finds; that there is no icon is none."""
    report = lint(FOLDER, values, strict=True, kube_version=kubernetes)
    found = [one["error"] for one in report["messages"] if one["severity"] > 1]
    return found + report["errors"]


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("file", WORKED, ids=lambda file: file.stem)
def test_worked_values_pass_the_lint(file: Path, kubernetes: str) -> None:
    assert errors(yaml.safe_load(file.read_text()), kubernetes) == []


def test_a_claim_is_enough_for_the_oldest_kubernetes(capfd: pytest.CaptureFixture[str]) -> None:
    assert errors(worked("cpu"), "v1.30.0") == []
    assert not capfd.readouterr().err
    errors(worked("gpu"), "v1.30.0")  # which tells of `fail` in its log alone
    assert "model.source image needs Kubernetes 1.33" in capfd.readouterr().err


def test_the_defaults_lack_what_must_be_given() -> None:
    with pytest.raises(HelmError, match="repository"):
        render({})


# What is changed of the worked values for CPUs, and a word of the refusal.
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"gatway": {}}, "gatway"),
    ({"gateway.replica": 2}, "replica"),
    ({"gateway.config.maxTextz": 2}, "maxTextz"),
    ({"gateway.config.auth": "off"}, "auth"),
    ({"gateway.config.redisUrl": "redis://password@host"}, "redisUrl"),
    ({"gateway.config.maxTexts": "many"}, "maxTexts"),
    ({"gateway.config.maxTexts": 0}, "maxTexts"),
    ({"gateway.config.tokenIds": "p50k"}, "tokenIds"),
    ({"gateway.config.operationsPort": 0}, "operationsPort"),
    ({"gateway.config.operationsPort": 8000}, "are the same"),
    ({"gateway.config.tlsCertFile": "/tls/tls.crt"}, "tlsKeyFile"),
    ({"gateway.config.cache": "redis"}, "secretConfig"),
    ({"gateway.auth.mode": "optional"}, "mode"),
    ({"gateway.auth.keys": []}, "auth"),
    ({"gateway.auth.existingSecret": "embeddings-keys"}, "auth"),
    ({"gateway.auth.mode": "off"}, "auth"),
    ({"gateway.auth.keys": [{"name": "indexer", "digest": "te-a-key-itself"}]}, "digest"),
    ({"gateway.image.repository": ""}, "repository"),
    ({"gateway.image.tag": 2}, "tag"),
    ({"gateway.image.digest": "sha256:1234"}, "digest"),
    ({"gateway.autoscaling": {"enabled": True, "minReplicas": 20}}, "minReplicas is above"),
    ({"gateway.extraEnv": [{"name": "GATEWAY_API_KEYS", "value": "a-key"}]}, "extraEnv"),
    ({"gateway.podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
    ({"gateway.podSecurityContext": {"runAsNonRoot": False}}, "runAsNonRoot"),
    ({"gateway.resources.limits": {"cpu": 2}}, "cpu"),
    ({"gateway.resources.limits": {"memory": "2 GB"}}, "memory"),
    ({"model.source": "image"}, "reference"),
    ({"model.source": "hub"}, "source"),
    ({"model.claim.name": ""}, "claim"),
    ({"model.path": "../secrets"}, "path"),
    ({"triton.flavour": "tpu"}, "flavour"),
    ({"triton.gpu": {"resourceClaimTemplate": "one-gpu"}}, "resourceClaimTemplate"),
    ({"triton.gpu": {"count": 0.5}}, "count"),
    ({"triton.strategy": {"maxSurge": 0, "maxUnavailable": 0}}, "strategy"),
    ({"triton.strategy": {"maxUnavailable": "0%"}}, "strategy"),
    ({"triton.startupMinutes": 0}, "startupMinutes"),
    ({"triton.autoscaling": {"kind": "hpa"}}, "kind"),
    ({"networkPolicy.nodeCIDRs": ["10.0.0.1"]}, "nodeCIDRs"),
    ({"ingress": {"enabled": True}}, "host"),
    ({"httpRoute": {"enabled": True}}, "parentRefs"),
    ({"httpRoute": {"timeout": "60"}}, "timeout"),
    ({"monitoring": {"serviceMonitor": {"enabled": True}}}, "metricsFrom"),
    ({"test": {"apiKeySecret": {"name": "a"}}}, "apiKeySecret"),
]


@pytest.mark.parametrize(("changes", "word"), BROKEN, ids=lambda part: str(part)[:60])
def test_broken_values_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(HelmError, match=word):
        render(changed(worked("cpu"), changes))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"triton.capacityTokensPerSecond": 0}, "capacityTokensPerSecond"),
        ({"triton.autoscaling.prometheusAddress": ""}, "prometheusAddress"),
        ({"monitoring.serviceMonitor.enabled": False}, "serviceMonitor"),
        ({"networkPolicy.metricsFrom": []}, "metricsFrom"),
        ({"triton.autoscaling.maxReplicas": 1}, "minReplicas is above"),
    ],
    ids=lambda part: str(part),
)
def test_autoscaling_without_what_it_needs_is_refused(changes: Values, word: str) -> None:
    with pytest.raises(HelmError, match=word):
        render(changed(worked("autoscaling"), changes))


def objects(schema: Any, path: str = "") -> list[tuple[str, Values]]:
    """Every object of a schema that names its keys, with its path, conditions left out."""
    if not isinstance(schema, dict):
        return []
    named = schema.get("properties", {})
    inner = [found for key, one in named.items() for found in objects(one, f"{path}.{key}")]
    return inner + ([(path, schema)] if schema.get("type") == "object" else [])


def test_the_schema_is_closed_but_for_global_and_what_is_kubernetes() -> None:
    schema = loaded().schema
    assert schema is not None
    opened = {path for path, one in objects(schema) if one.get("additionalProperties") is None}
    assert {path.rpartition(".")[2] for path in opened} == {"global", "affinity", "seLinuxOptions"}


def test_the_chart_can_be_a_subchart(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "charts" / FOLDER.name)
    (tmp_path / "Chart.yaml").write_text(
        "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n"
        "  - {name: triton-embeddings, version: 0.1.0, condition: triton-embeddings.enabled}\n"
    )
    values = {"enabled": True, "global": {"anything": 1}, **worked("cpu")}
    parent = {"global": {"region": "eu"}, "triton-embeddings": values}
    assert any("deployment" in path for path in Chart.load(tmp_path).render(parent, name="p"))


def test_every_value_has_a_sentence() -> None:
    found = list(keys((FOLDER / "values.yaml").read_text()))
    assert [path for path, what in found if not what] == []
    assert len(found) > 80


@pytest.mark.parametrize("name", ["values.schema.json", "README.md"])
def test_generated_files_are_current(name: str) -> None:
    """Else: python -m tests.helm."""
    assert (FOLDER / name).read_text() == generated()[FOLDER / name]
