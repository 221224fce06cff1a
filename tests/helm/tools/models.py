"""What the authors of operators publish of their resources, as models of npm packages."""

import json
import subprocess
from pathlib import Path

from tests.helm.chart import Manifest, render
from tests.helm.faults.schemas import CUSTOM
from tests.helm.tools.report import Checked
from tests.helm.variants import VARIANTS

PROGRAM = Path(__file__).with_name("models.mjs")


def model_findings(site: Path, sets: list[list[Manifest]]) -> list[list[str]]:
    """Findings of each set, in which all but the resources of operators is passed over."""
    custom = [
        (number, one)
        for number, manifests in enumerate(sets)
        for one in manifests
        if one["kind"] in CUSTOM
    ]
    said = subprocess.run(
        ["node", PROGRAM, site],  # noqa: S607
        input=json.dumps([one for _, one in custom]),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found: list[list[str]] = [[] for _ in sets]
    for (number, one), findings in zip(custom, json.loads(said), strict=True):
        found[number] += [f"{one['kind']}/{one['metadata']['name']}: {text}" for text in findings]
    return found


def models(site: Path) -> Checked:
    sets = [render(values) for values in VARIANTS.values()]
    kinds = [one["kind"] for manifests in sets for one in manifests if one["kind"] in CUSTOM]
    found = [finding for one in model_findings(site, sets) for finding in one]
    what = f"{len(kinds)} manifests: {', '.join(sorted(set(kinds)))}"
    return Checked("models of operators", what, tuple(found))
