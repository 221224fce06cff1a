"""A real Prometheus: its programs, what it knows of a target, and its time made faster."""

import re
import shutil
from pathlib import Path

from tests.helm.chart import NAMESPACE, Manifest, pick

MISSING = "there is no prometheus: apt-get install prometheus"
UNPACKED = Path(__file__).parents[1] / "build" / "prometheus" / "usr" / "bin"
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_RANGE = re.compile(r"\[(\d+[smh])\]")


def find(program: str) -> str:
    """Path of `promtool` or `prometheus`, empty if there is none."""
    return shutil.which(program) or shutil.which(program, path=str(UNPACKED)) or ""


def target_labels(manifests: list[Manifest], component: str, pod: str) -> dict[str, str]:
    """What the operator of Prometheus puts on a target that a ServiceMonitor of the chart finds.

    component  `gateway` or `triton`
    """
    monitor = pick(manifests, "ServiceMonitor", f"-{component}")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    (service,) = (
        one
        for one in manifests
        if one["kind"] == "Service" and wanted.items() <= one["metadata"]["labels"].items()
    )
    name = service["metadata"]["name"]
    return {"namespace": NAMESPACE, "service": name, "job": name, "pod": pod}


def shorter(duration: str, speed: float) -> str:
    """`5m` by 60 is `5000ms`."""
    return f"{round(1000 * int(duration[:-1]) * _SECONDS[duration[-1]] / speed)}ms"


def shorter_ranges(expression: str, speed: float) -> str:
    """PromQL whose ranges are as many times shorter."""
    return _RANGE.sub(lambda found: f"[{shorter(found[1], speed)}]", expression)
