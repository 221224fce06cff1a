"""checkov, but for what is argued against in skipped.yaml."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.helm.chart import NAMESPACE, Manifest, Values, changed, render
from tests.helm.tools.report import Checked
from tests.helm.variants import VARIANTS

SKIPPED: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("skipped.yaml").read_text()
)
_DIGEST = "sha256:" + "0" * 64


def by_digest(values: Values) -> Values:
    """As images should be named."""
    parts = ("gateway", "triton", "model.export")
    model = values["model"].get("image", {}).get("reference", "").partition(":")[0]
    reference = {"model.image.reference": f"{model}@{_DIGEST}"} if model else {}
    return changed(values, {f"{part}.image.digest": _DIGEST for part in parts} | reference)


def policy_findings(site: Path, sets: list[list[Manifest]]) -> tuple[list[list[str]], int]:
    """Findings of each set of manifests, and how many checks passed."""
    with tempfile.TemporaryDirectory() as folder:
        for number, manifests in enumerate(sets):
            placed = [
                {**one, "metadata": {**one["metadata"], "namespace": NAMESPACE}}
                for one in manifests
            ]
            Path(folder, f"{number}.yaml").write_text(yaml.safe_dump_all(placed))
        report = _run(site, folder)
    found: list[list[str]] = [[] for _ in sets]
    for number, finding in _findings(report["results"]["failed_checks"]):
        found[number].append(finding)
    return found, report["summary"]["passed"]


def _run(site: Path, folder: str) -> Any:
    done = subprocess.run(
        [site / "checkov" / "bin" / "checkov", "--directory", folder, "--framework", "kubernetes",
         "--compact", "--quiet", "--skip-download", "--output", "json"],
        env={"PATH": os.environ["PATH"], "HOME": str(site)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return json.loads(done.stdout)


def _findings(failed: list[dict[str, Any]]) -> Iterator[tuple[int, str]]:
    for one in failed:
        kind = one["resource"].partition(".")[0]
        if kind not in SKIPPED.get(one["check_id"], {"of": []})["of"]:
            number = int(Path(one["file_path"]).stem)
            yield number, f"{one['check_id']} of {one['resource']}: {one['check_name']}"


def policies(site: Path) -> Checked:
    found, passed = policy_findings(site, [render(by_digest(one)) for one in VARIANTS.values()])
    what = f"{len(VARIANTS)} variants: {passed} checks passed, {len(SKIPPED)} skipped for a reason"
    return Checked("checkov", what, tuple(finding for one in found for finding in one))
