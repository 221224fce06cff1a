"""What the chart takes as values, and what it refuses."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmError, lint

from tests.helm.broken.values import MISTAKES, Mistake
from tests.helm.chart import FOLDER, WORKED, Values, changed, generated, loaded, render, worked
from tests.helm.table import keys
from tests.helm.variants import VARIANTS

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


def test_what_needs_a_newer_kubernetes_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    """And a copy of the model image needs none."""
    assert errors(VARIANTS["copied"], "v1.30.0") == []
    near = {"gateway.service": {"trafficDistribution": "PreferSameZone"}}
    assert errors(changed(worked("cpu"), near), "v1.34.0") == []
    assert not capfd.readouterr().err
    errors(changed(worked("cpu"), near), "v1.33.0")
    assert "PreferSameZone needs Kubernetes 1.34" in capfd.readouterr().err


def test_the_defaults_lack_what_must_be_given() -> None:
    with pytest.raises(HelmError, match="repository"):
        render({})


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_in_values_is_refused_by_its_place(mistake: Mistake) -> None:
    with pytest.raises(HelmError, match=re.escape(mistake.says)):
        render(mistake.values)


def test_every_mistake_is_another() -> None:
    assert len({(one.file, one.what) for one in MISTAKES}) == len(MISTAKES)


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
    assert opened == {".global"}
    kinds = [one for name, one in schema["definitions"].items() if "properties" in one]
    assert all(one["additionalProperties"] is False for one in kinds)


def test_every_value_has_a_sentence() -> None:
    found = list(keys((FOLDER / "values.yaml").read_text()))
    assert [path for path, what in found if not what] == []
    assert len(found) > 80


@pytest.mark.parametrize("name", ["values.schema.json", "README.md", "files/dashboard.json"])
def test_generated_files_are_current(name: str) -> None:
    """Else: python -m tests.helm."""
    assert (FOLDER / name).read_text() == generated()[FOLDER / name]
