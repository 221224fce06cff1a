"""Each alert fires when it must, says what to do, and asks for what exists."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.chart import FOLDER
from tests.monitoring import promtool
from tests.monitoring.cases import CASES
from tests.monitoring.expressions import asked_in
from tests.monitoring.rules import GATEWAYS, NAMESPACE, RELEASE, TRITONS, alerts, rendered_rules
from tests.prometheus import MISSING, find

needs_promtool = pytest.mark.skipif(not find("promtool"), reason=MISSING)
ALERTS = alerts()


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return promtool.write(tmp_path_factory.mktemp("rules") / "rules.yaml", rendered_rules())


@needs_promtool
def test_the_file_and_what_is_rendered_pass_the_check(rules: Path) -> None:
    promtool.run("check", "rules", str(FOLDER / "files" / "rules.yaml"))
    promtool.run("check", "rules", str(rules))


def test_every_alert_has_a_case() -> None:
    assert list(ALERTS) == list(CASES)


@needs_promtool
@pytest.mark.parametrize("name", CASES)
def test_it_fires_when_it_must_and_resolves(name: str, rules: Path, tmp_path: Path) -> None:
    content = promtool.unit_tests(rules, name, CASES[name], ALERTS[name])
    promtool.run("test", "rules", str(promtool.write(tmp_path / "test.yaml", content)))


@pytest.mark.parametrize("name", ALERTS)
def test_it_says_how_much_and_what_to_do(name: str) -> None:
    """The row that it points to has its name, and a sentence."""
    page = (FOLDER.parents[1] / "docs" / "operations.md").read_text()
    annotations = ALERTS[name]["annotations"]
    path, _, anchor = annotations["runbook"].partition("#")
    assert (path, anchor) == ("docs/operations.md", name.lower())
    row = re.search(
        rf'^\| <a id="{anchor}"></a>`{name}` \| (page|ticket) \| .+ \| (.{{20,}}) \|$', page, re.M
    )
    assert row
    assert row[1] == ALERTS[name]["labels"]["severity"]
    is_of_all_gone = "absent" in ALERTS[name]["expr"]
    assert "$value" in annotations["summary"] or is_of_all_gone


def test_every_row_of_the_page_has_an_alert() -> None:
    page = (FOLDER.parents[1] / "docs" / "operations.md").read_text()
    assert set(re.findall(r'^\| <a id="[a-z]+"></a>`(\w+)`', page, re.M)) == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_it_is_of_this_release_alone(name: str) -> None:
    services = {f"={GATEWAYS}", f"={TRITONS}", f"=~{RELEASE}-(gateway-operations|triton-headless)"}
    for selector in asked_in(ALERTS[name]["expr"]).selectors:
        assert selector.matchers["namespace"] == f"={NAMESPACE}"
        own = selector.matchers
        if selector.metric.startswith("kube_"):
            (told,) = (own[label] for label in ("deployment", "pod", "job_name") if label in own)
            assert told.startswith(f"=~{RELEASE}-")
        else:
            assert own["service"] in services


THRESHOLDS: list[tuple[str, Any, str, str]] = [
    ("errorShare", 0.025, "EmbeddingsFailing", "> 0.025"),
    ("overloadedShare", 0.5, "EmbeddingsOverloaded", "> 0.5"),
    ("smallCallSeconds", 2, "EmbeddingsSlow", "> 2"),
    ("backlogSeconds", 1_000_000, "EmbeddingsBacklog", "> 1e+06"),
]


@pytest.mark.parametrize(("value", "number", "alert", "end"), THRESHOLDS)
def test_thresholds_come_from_the_values(value: str, number: Any, alert: str, end: str) -> None:
    expression = alerts(**{value: number})[alert]["expr"].strip()
    assert expression.endswith(end)
    asked_in(expression)


def test_runbooks_can_be_elsewhere() -> None:
    found = alerts(runbook="https://wiki.example.org/embeddings")
    assert {rule["annotations"]["runbook"].partition("#")[0] for rule in found.values()} == {
        "https://wiki.example.org/embeddings"
    }


def test_nothing_is_left_to_put_in() -> None:
    text = yaml.safe_dump(rendered_rules())
    assert not re.findall(r"NAMESPACE|RELEASE|RUNBOOK|_SHARE|_SECONDS", text)
