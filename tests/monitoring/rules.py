"""The alerts of the chart, as they reach Prometheus."""

from typing import Any

from tests.helm.chart import NAME, NAMESPACE, changed, pick, render
from tests.helm.variants import VARIANTS

RELEASE = f"{NAME}-triton-embeddings"
GATEWAYS, TRITONS = f"{RELEASE}-gateway-operations", f"{RELEASE}-triton-headless"


def rendered_rules(**values: Any) -> dict[str, Any]:
    """The groups of rules; with other values of `monitoring.rules`."""
    changes = {f"monitoring.rules.{name}": value for name, value in values.items()}
    return pick(render(changed(VARIANTS["watched"], changes)), "PrometheusRule")["spec"]


def alerts(**values: Any) -> dict[str, dict[str, Any]]:
    """Every alert by its name."""
    rules = [rule for group in rendered_rules(**values)["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules}


__all__ = ["GATEWAYS", "NAMESPACE", "RELEASE", "TRITONS", "alerts", "rendered_rules"]
