"""Every panel says what it shows and can be asked; the dashboard of each release is its own."""

import json
import re
from typing import Any

import pytest

from tests.helm.chart import FOLDER, changed, pick, render
from tests.helm.variants import VARIANTS
from tests.monitoring.expressions import asked_in
from tests.monitoring.rules import NAMESPACE, RELEASE


def rendered(**values: Any) -> dict[str, Any]:
    changes = {f"monitoring.dashboard.{name}": value for name, value in values.items()}
    return pick(render(changed(VARIANTS["watched"], changes)), "ConfigMap", "-dashboard")


def panels() -> list[dict[str, Any]]:
    (text,) = rendered()["data"].values()
    return [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]


def test_it_is_found_by_its_labels() -> None:
    found = rendered(labels={"grafana": "here"}, annotations={"grafana_folder": "Search"})
    assert found["metadata"]["labels"]["grafana"] == "here"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Search"}
    assert rendered()["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_it_opens_at_its_release() -> None:
    """Two of one id in one Grafana would replace each other in turns."""
    (name,) = rendered()["data"]
    told = json.loads(rendered()["data"][name])
    chosen = {one["name"]: one["current"]["value"] for one in told["templating"]["list"][1:]}
    assert chosen == {"namespace": NAMESPACE, "release": RELEASE}
    other = pick(render(VARIANTS["watched"] | {"fullnameOverride": "x"}), "ConfigMap", "-dashboard")
    (text,) = other["data"].values()
    assert json.loads(text)["uid"] != told["uid"]
    assert len(told["uid"]) <= 40


def test_nothing_is_left_to_put_in() -> None:
    assert not re.findall(r"NAMESPACE|RELEASE|\bUID\b", json.dumps(rendered()))


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_has_a_unit_a_sentence_and_legends(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    for target in panel["targets"]:
        assert target["legendFormat"]
        asked = asked_in(target["expr"].replace("$__rate_interval", "1m"))
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert label in asked.grouping | {"pod", "gpu_uuid"}
        for selector in asked.selectors:
            assert selector.matchers["namespace"] == "=$namespace"
            assert selector.matchers["service"].startswith("=$release-")


def test_no_two_panels_share_a_place() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places) > 30


def test_the_file_is_no_template() -> None:
    """Grafana's braces and Helm's look alike."""
    text = (FOLDER / "templates" / "monitoring" / "dashboard.yaml").read_text()
    assert ".Files.Get" in text
    assert "tpl" not in text
