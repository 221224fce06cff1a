"""The chart as Helm reads and renders it."""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

from tests.helm.schema import values_schema
from tests.helm.table import HEAD, render_table
from tests.monitoring.dashboard import render_dashboard

FOLDER = Path(__file__).parents[2] / "helm" / "triton-embeddings"
WORKED = sorted((FOLDER / "ci").glob("*.yaml"))
NAME, NAMESPACE = "e", "prod"

Values = dict[str, Any]
Manifest = dict[str, Any]


@cache
def loaded() -> Chart:
    return Chart.load(FOLDER)


def worked(name: str) -> Values:
    """A worked value file, such as that for `cpu`."""
    return yaml.safe_load((FOLDER / "ci" / f"{name}-values.yaml").read_text())


def changed(values: Values, changes: Values) -> Values:
    """Values with others at paths with dots, None removes one."""
    values = copy.deepcopy(values)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = values
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    return values


def render(values: Values) -> list[Manifest]:
    """Every manifest, hooks and tests too; to be read only."""
    return _render(json.dumps(values))


@cache
def _render(values: str) -> list[Manifest]:
    return render_chart(loaded(), json.loads(values))


def render_chart(chart: Chart, values: Values) -> list[Manifest]:
    """Every manifest of any chart."""
    rendered = chart.render(values, name=NAME, namespace=NAMESPACE)
    documents = [text for path, text in rendered.items() if path.endswith(".yaml")]
    return [one for text in documents for one in yaml.load_all(text, yaml.CSafeLoader) if one]


def pick(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    """The one manifest of a kind whose name ends so."""
    (found,) = (
        one for one in manifests if one["kind"] == kind and one["metadata"]["name"].endswith(suffix)
    )
    return found


def deployments(manifests: list[Manifest]) -> list[Manifest]:
    """Gateway and Triton, in this order."""
    return [one for one in manifests if one["kind"] == "Deployment"]


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and spec of every pod, of templates and of tests."""
    for one in manifests:
        if one["kind"] == "Pod":
            yield one["metadata"]["name"], one["spec"]
        elif "template" in one.get("spec", {}):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def container_of(manifests: list[Manifest], suffix: str) -> Manifest:
    """The one container of a Deployment."""
    template = pick(manifests, "Deployment", suffix)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    return container


def environment(manifests: list[Manifest], suffix: str = "-gateway") -> dict[str, str]:
    """Variables of a container; what is not a value in it is told as it is written."""
    container = container_of(manifests, suffix)
    names = [one["name"] for one in container["env"]]
    assert len(set(names)) == len(names)
    return {
        one["name"]: one["value"] if "value" in one else str(one["valueFrom"])
        for one in container["env"]
    }


def arguments(manifests: list[Manifest], **variables: str) -> list[str]:
    """What tritonserver is started with.

    variables  those that only a cluster knows; `$(NAME)` stands for them in the rendered list
    """
    known = environment(manifests, "-triton") | variables
    return [
        re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], one)
        for one in container_of(manifests, "-triton")["args"]
    ]


def generated() -> dict[Path, str]:
    """The files of the chart that are made of others, as they should be."""
    readme = FOLDER / "README.md"
    by_hand, _, _ = readme.read_text().partition(HEAD)
    return {
        FOLDER / "files" / "dashboard.json": render_dashboard(),
        FOLDER / "values.schema.json": json.dumps(values_schema(), indent=1) + "\n",
        readme: by_hand + render_table((FOLDER / "values.yaml").read_text()),
    }
