"""Every value does something and takes nothing of another type, and no object takes a typo."""

from collections.abc import Iterator
from typing import Any

import pytest
from helm_python import HelmError

from tests.helm.chart import FOLDER, Values, changed, loaded, render, worked
from tests.helm.schema import values_schema
from tests.helm.table import default, keys
from tests.helm.variants import VARIANTS

DEFAULTS = loaded().values
VALUES = [path for path, _ in keys((FOLDER / "values.yaml").read_text())]

# Values of parent charts, which this one knows and does not use.
UNUSED = {"enabled"}

# Where a value is used, by the beginning of its path; elsewhere in the worked values for CPUs.
USED_IN = {
    "gateway.autoscaling": "autoscaling-values",
    "httpRoute": "routed",
    "ingress": "routed",
    "model.claim": "cpu-values",
    "model.export": "exported",
    "model.image": "gpu-values",
    "model.image.copySize": "copied",
    "monitoring": "watched",
    "triton.autoscaling": "autoscaling-values",
    "triton.capacityTokensPerSecond": "autoscaling-values",
    "triton.gpu": "gpu-values",
    "gateway.auth.file": "gpu-values",
    "gateway.auth.existingSecret": "gpu-values",
}

# Another value of a key that is text or holds others, by the end of its path.
OTHERS: dict[str, Any] = {
    "accessMode": "ReadWriteOnce",
    "affinity": {"nodeAffinity": {}},
    "aliases": ["another"],
    "annotations": {"a": "b"},
    "apiKeySecret": {"name": "a", "key": "b"},
    "auth.keys": [{"name": "other", "digest": "sha256:" + "1" * 64}],
    "digest": "sha256:" + "0" * 64,
    "export.extraArgs": ["--matryoshka"],
    "extraArgs": ["--log-verbose=1"],
    "extraEgress": [{"ports": [{"port": 6379, "protocol": "TCP"}]}],
    "extraEnv": [{"name": "A", "value": "b"}],
    "file": "others.toml",
    "global": {"imagePullSecrets": ["pull"]},
    "hostnames": ["other.example.org"],
    "hosts": ["other.example.org"],
    "id": "other/model",
    "imagePullSecrets": [{"name": "pull"}],
    "ingressFrom": [{"namespaceSelector": {}}],
    "interval": "30s",
    "labels": {"a": "b"},
    "metricsFrom": [{"podSelector": {}}],
    "nodeCIDRs": ["10.1.0.0/16"],
    "nodeSelector": {"a": "b"},
    "parentRefs": [{"name": "other"}],
    "path": "other/folder",
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "podSecurityContext": {"runAsUser": 1234},
    "prometheusAddress": "http://other:9090",
    "reference": "registry.example.org/other:1",
    "repository": "registry.example.org/other",
    "resourceName": "nvidia.com/mig-1g.10gb",
    "resources": {"limits": {"memory": "31Gi"}},
    "revision": "f" * 40,
    "scheduling": {"nodeSelector": {"a": "b"}},
    "secretConfig": {"redisUrl": {"name": "a", "key": "b"}},
    "timeout": "90s",
    "tokenSecret": {"name": "a", "key": "b"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
}
# That need others beside them.
TOGETHER: dict[str, Values] = {
    "gateway.extraVolumes": {
        "gateway.extraVolumes": [{"name": "a", "emptyDir": {}}],
        "gateway.extraVolumeMounts": [{"name": "a", "mountPath": "/a"}],
    },
    "gateway.auth.mode": {"gateway.auth": {"mode": "off"}},
    "gateway.auth.existingSecret": {"gateway.auth.existingSecret": "other"},
    "gateway.autoscaling.enabled": {"gateway.autoscaling.enabled": False},
    "monitoring.serviceMonitor.enabled": {"monitoring": {}},
    "model.export.storage.accessMode": {
        "model.export.storage.accessMode": "ReadWriteOnce",
        "triton.replicas": 1,
    },
    "model.image.mode": {"model.image.mode": "copy", "model.path": "models"},
    "model.source": {"model": {"source": "image", "image": {"reference": "a:1"}}},
    "triton.strategy.maxUnavailable": {"triton.strategy": {"maxSurge": 1, "maxUnavailable": 0}},
}
TOGETHER["gateway.extraVolumeMounts"] = TOGETHER["gateway.extraVolumes"]
TOGETHER |= {
    key.replace("gateway", "triton"): {
        one.replace("gateway", "triton"): value for one, value in TOGETHER[key].items()
    }
    for key in ("gateway.extraVolumes", "gateway.extraVolumeMounts")
}


def schema_at(path: str) -> Values:
    schema: Any = values_schema()
    for key in path.split("."):
        schema = schema["properties"][key]
    return dict(schema)


def base(path: str) -> Values:
    """Values in which the one at the path is used."""
    beginnings = [one for one in USED_IN if f"{path}.".startswith(f"{one}.")]
    return VARIANTS[USED_IN[max(beginnings)]] if beginnings else worked("cpu")


def another(path: str, now: Any) -> Any:
    """A value that the schema takes and that is not there now."""
    ends = [one for one in OTHERS if f".{path}".endswith(f".{one}")]
    if ends:
        return OTHERS[max(ends, key=len)]
    schema = schema_at(path)
    if "enum" in schema:
        return next(word for word in schema["enum"] if word not in ("", now))
    if isinstance(now, bool):
        return not now
    if isinstance(now, (int, float)):
        return now + 1 if isinstance(now, int) else now / 2
    assert isinstance(now, str), path
    return "3Gi" if now.endswith("i") else "another"


@pytest.mark.parametrize("path", [path for path in VALUES if path not in UNUSED])
def test_a_value_changes_what_is_rendered(path: str) -> None:
    before = base(path)
    now = default(loaded().merge_values(before), path)
    changes = TOGETHER.get(path) or {path: another(path, now)}
    assert render(changed(before, changes)) != render(before)


@pytest.mark.parametrize("path", sorted(UNUSED))
def test_what_is_for_parents_changes_nothing(path: str) -> None:
    changes = {path: not default(DEFAULTS, path)}
    assert render(changed(worked("cpu"), changes)) == render(worked("cpu"))


@pytest.mark.parametrize("path", VALUES)
def test_a_value_of_another_type_is_refused_by_its_place(path: str) -> None:
    wrong: Any = "text" if isinstance(default(DEFAULTS, path), (dict, list)) else [1]
    with pytest.raises(HelmError, match="/" + path.replace(".", "/")):
        loaded().validate_schema(changed(worked("cpu"), {path: wrong}))


def closed_objects(schema: Values, path: str = "") -> Iterator[str]:
    for key, one in schema.get("properties", {}).items():
        place = f"{path}.{key}".lstrip(".")
        if one.get("additionalProperties") is False:
            yield place
        yield from closed_objects(one, place)


@pytest.mark.parametrize("path", sorted(closed_objects(values_schema())))
def test_a_key_that_there_is_not_is_refused(path: str) -> None:
    with pytest.raises(HelmError, match="tpyo"):
        loaded().validate_schema(changed(worked("cpu"), {f"{path}.tpyo": 1}))
