"""What Kubernetes' own schemas say, strict: of each version, and with no unknown key."""

import json
from collections.abc import Iterator
from functools import cache

import kubernetes_validate

from tests.helm.chart import Manifest

# Which come from operators, with schemas of their own.
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute"}


def schema_faults(manifests: list[Manifest], kubernetes: str) -> Iterator[str]:
    """By the schemas of a version, such as `1.37`."""
    for one in manifests:
        if one["kind"] not in CUSTOM:
            fault = _fault(json.dumps(one), kubernetes)
            if fault is not None:
                yield f"{one['kind']}/{one['metadata']['name']}: {fault}"


@cache
def _fault(manifest: str, kubernetes: str) -> str | None:
    try:
        kubernetes_validate.validate(json.loads(manifest), kubernetes, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return f"no {error.api_version} in Kubernetes {error.version}"
    return None
