"""What each version of Kubernetes knows, by its own schemas."""

from pathlib import Path

from tests.helm.chart import render
from tests.helm.faults.schemas import schema_faults
from tests.helm.tools.engines import refusal
from tests.helm.tools.report import Checked
from tests.helm.variants import VARIANTS

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]


def schemas(_: Path) -> Checked:
    """Strict, of every version that takes the values."""
    cases = [
        (name, kubernetes)
        for name, values in VARIANTS.items()
        for kubernetes in VERSIONS
        if refusal(values, kubernetes) is None
    ]
    found = [
        f"{name} on {kubernetes}: {fault}"
        for name, kubernetes in cases
        for fault in schema_faults(render(VARIANTS[name]), kubernetes)
    ]
    what = f"{len(VARIANTS)} variants, {VERSIONS[0]} to {VERSIONS[-1]}: {len(cases)} sets, strict"
    return Checked("schemas of Kubernetes", what, tuple(found))
