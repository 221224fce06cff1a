"""The chart below another: by itself, switched off, twice under two names; and its own names."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart, HelmError

from tests.helm.chart import FOLDER, Manifest, Values, loaded, pod_specs, worked
from tests.helm.variants import VARIANTS

CHART: dict[str, Any] = {"name": FOLDER.name, "version": "0.1.0"}
TWICE = [CHART | {"alias": "embeddings"}, CHART | {"alias": "embeddings-v2"}]


def parent(folder: Path, *dependencies: dict[str, Any]) -> Chart:
    """A chart with this one in its folder."""
    shutil.copytree(FOLDER, folder / "charts" / FOLDER.name)
    head = {"apiVersion": "v2", "name": "parent", "version": "1.0.0"}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(head | {"dependencies": [*dependencies]}))
    return Chart.load(folder)


def rendered(chart: Chart, values: Values, release: str = "p") -> list[Manifest]:
    texts = chart.render(values, name=release, namespace="prod")
    documents = [text for path, text in texts.items() if path.endswith(".yaml")]
    return [one for text in documents for one in yaml.safe_load_all(text) if one]


def names(manifests: list[Manifest]) -> Counter[tuple[str, str]]:
    return Counter((one["kind"], one["metadata"]["name"]) for one in manifests)


def test_the_chart_can_be_a_subchart(tmp_path: Path) -> None:
    chart = parent(tmp_path, CHART | {"condition": f"{FOLDER.name}.enabled", "tags": ["search"]})
    own = worked("cpu") | {"enabled": True, "global": {"anything": 1}}
    shared = {"region": "eu", "imagePullSecrets": ["pull"]}
    manifests = rendered(chart, {"global": shared, FOLDER.name: own})
    assert names(manifests)["Deployment", "p-triton-embeddings-triton"] == 1
    for _, spec in pod_specs(manifests):
        assert spec["imagePullSecrets"] == [{"name": "pull"}]
    off: list[Values] = [
        {FOLDER.name: own | {"enabled": False}},
        {"tags": {"search": False}, FOLDER.name: worked("cpu")},
    ]
    assert [rendered(chart, values) for values in off] == [[], []]


@pytest.mark.parametrize("release", ["p", "embeddings-v2", "triton-embeddings", "e" * 50])
def test_two_of_one_parent_share_no_name_and_no_pod(tmp_path: Path, release: str) -> None:
    """Whatever the release is called, and however much of that is cut off."""
    values = {one["alias"]: VARIANTS["exported"] for one in TWICE}
    manifests = rendered(parent(tmp_path, *TWICE), values, release)
    assert set(names(manifests).values()) == {1}
    assert all(len(name) <= 63 for _, name in names(manifests))
    selectors = [
        str(one["spec"]["selector"]["matchLabels"])
        for one in manifests
        if one["kind"] == "Deployment"
    ]
    assert len(set(selectors)) == len(selectors) == 4


def test_a_typo_of_the_parent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HelmError, match="gatway"):
        rendered(parent(tmp_path, CHART), {FOLDER.name: {**worked("cpu"), "gatway": {}}})


@pytest.mark.parametrize(
    ("release", "changes", "name"),
    [
        ("e", {}, "e-triton-embeddings"),
        ("triton-embeddings", {}, "triton-embeddings"),
        ("my-triton-embeddings", {}, "my-triton-embeddings"),
        ("e", {"nameOverride": "mxbai"}, "e-mxbai"),
        ("e", {"fullnameOverride": "mxbai"}, "mxbai"),
        ("e" * 53, {}, "e" * 31 + "-cfe38ad4"),
    ],
)
def test_what_a_release_is_called(release: str, changes: Values, name: str) -> None:
    manifests = rendered(loaded(), worked("cpu") | changes, release)
    found = [name for kind, name in names(manifests) if kind == "ServiceAccount"]
    assert found == [name]
