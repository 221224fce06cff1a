"""Kubernetes' own types within the values, closed as its strict schemas are, and closer."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from tests.helm.conditions import Schema

# What the restricted Pod Security standard lets a volume be; an image since 1.33.
RESTRICTED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}
_SCHEMAS = "kubernetes-json-schema/v1.37.0-local-strict/_definitions.json"
_REFERENCE = "#/definitions/"
_ROOTS = {
    "core.v1": ("Affinity", "EnvVar", "Toleration", "Volume", "VolumeMount"),
    "networking.v1": ("NetworkPolicyEgressRule", "NetworkPolicyPeer"),
}
CIDR = "^([0-9.]+/([12]?[0-9]|3[0-2])|[0-9a-f:.]*:[0-9a-f:.]*/([1-9]?[0-9]|1[01][0-9]|12[0-8]))$"
_PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
_PORT_NAME: Schema = {
    "type": "string",
    "maxLength": 15,
    "allOf": [{"pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"}, {"pattern": "[a-z]"}],
}
# What the published schemas leave to the server.
_NARROWED: dict[str, dict[str, Schema]] = {
    "EnvVar": {"name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$"}},
    "EmptyDirVolumeSource": {"medium": {"enum": ["", "Memory"]}},
    "ImageVolumeSource": {"pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]}},
    "IPBlock": {
        "cidr": {"type": "string", "pattern": CIDR},
        "except": {"type": "array", "items": {"type": "string", "pattern": CIDR}},
    },
    "LabelSelectorRequirement": {
        "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
    },
    "NetworkPolicyPort": {
        "endPort": _PORT,
        "port": {"anyOf": [_PORT, _PORT_NAME]},
        "protocol": {"enum": ["TCP", "UDP", "SCTP"]},
    },
    "NodeSelectorRequirement": {
        "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]},
    },
    "PodAffinityTerm": {"topologyKey": {"type": "string", "minLength": 1}},
    "PreferredSchedulingTerm": {"weight": {"type": "integer", "minimum": 1, "maximum": 100}},
    "Toleration": {
        "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
        "operator": {"enum": ["Equal", "Exists", "Gt", "Lt"]},
    },
    "Volume": {"name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}},
    "WeightedPodAffinityTerm": {"weight": {"type": "integer", "minimum": 1, "maximum": 100}},
    "VolumeMount": {
        "mountPath": {"type": "string", "pattern": "^/[^:]*$"},
        "mountPropagation": {"enum": ["None", "HostToContainer"]},
        "recursiveReadOnly": {"enum": ["Disabled", "IfPossible", "Enabled"]},
    },
}
_BOUNDS: dict[str, Schema] = {
    "ConfigMapKeySelector": {"required": ["key", "name"]},
    "ConfigMapVolumeSource": {"required": ["name"]},
    "EnvVar": {"minProperties": 2, "maxProperties": 2},  # its name and one value
    "EnvVarSource": {"minProperties": 1, "maxProperties": 1},
    "NetworkPolicyPeer": {"minProperties": 1},
    "SecretKeySelector": {"required": ["key", "name"]},
    "SecretVolumeSource": {"required": ["secretName"]},
    "Volume": {"minProperties": 2, "maxProperties": 2},  # its name and one source
}


def kind(name: str) -> Schema:
    """One of the types, where it stands in the values."""
    return {"$ref": _REFERENCE + name}


def list_of(name: str) -> Schema:
    return {"type": "array", "items": kind(name)}


@cache
def definitions() -> dict[str, Schema]:
    """All types that are used, and what they are made of."""
    text = files("kubernetes_validate").joinpath(_SCHEMAS).read_text()
    known = {name.removeprefix("io.k8s."): one for name, one in json.loads(text)["$defs"].items()}
    found: dict[str, Schema] = {}
    missing = [f"api.{group}.{name}" for group, names in _ROOTS.items() for name in names]
    while missing:
        path = missing.pop()
        name = path.rpartition(".")[2]
        if name not in found:
            found[name], inner = _taken(_narrowed(name, known[path]))
            missing += inner
    return dict(sorted(found.items()))


def _narrowed(name: str, schema: Schema) -> Schema:
    properties = schema.get("properties", {})
    if name == "Volume":
        taken = RESTRICTED_VOLUMES | {"name"}
        properties = {key: one for key, one in properties.items() if key in taken}
    if properties:
        schema = {**schema, "properties": {**properties, **_NARROWED.get(name, {})}}
    return {**schema, **_BOUNDS.get(name, {})}


def _taken(part: Any) -> tuple[Any, list[str]]:
    """A schema without its prose and its nulls, and the paths of what it refers to."""
    if isinstance(part, list):
        found = [_taken(one) for one in part]
        return [one for one, _ in found], [path for _, paths in found for path in paths]
    if not isinstance(part, dict):
        return part, []
    taken, inner = {}, []
    for key, value in part.items():
        if key == "$ref":
            path = value.rpartition("/")[2].removeprefix("io.k8s.")
            taken[key] = _REFERENCE + path.rpartition(".")[2]
            inner.append(path)
        elif key == "type" and isinstance(value, list):
            (taken[key],) = set(value) - {"null"}
        elif not (key == "description" and isinstance(value, str)) and key[:2] != "x-":
            taken[key], more = _taken(value)
            inner += more
    return taken, inner
