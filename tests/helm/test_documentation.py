"""docs/kubernetes.md and the notes name what is there."""

import re
from pathlib import Path
from typing import Any

from tests.helm.chart import FOLDER, Manifest, loaded, worked
from tests.helm.schema import values_schema

PAGE = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text()
RELEASE = "embeddings"


def installed() -> dict[str, str]:
    """What the documented release renders."""
    return loaded().render(worked("cpu"), name=RELEASE, namespace=RELEASE)


def test_names_of_the_page_are_rendered() -> None:
    names = set(re.findall(r"deployment/([a-z0-9-]+)", PAGE))
    deployments = "".join(text for text in installed().values() if "kind: Deployment" in text)
    assert names == set(re.findall(r"^  name: (\S+)$", deployments, re.MULTILINE))


def test_commands_of_the_notes_name_what_is_rendered() -> None:
    (notes,) = (text for path, text in installed().items() if path.endswith("NOTES.txt"))
    assert set(re.findall(r"deployment/([a-z0-9-]+)", notes)) == set(
        re.findall(r"deployment/([a-z0-9-]+)", PAGE)
    )


def schema_at(path: str) -> Manifest | None:
    """The schema of a value, None if there is no such value."""
    schema: Any = values_schema()
    for key in path.split("."):
        schema = schema.get("properties", {}).get(key)
        if schema is None:
            return None
    return schema


def test_values_of_the_page_and_of_the_readme_exist() -> None:
    tops = "|".join(values_schema()["properties"])
    for text in (PAGE, (FOLDER / "README.md").read_text()):
        paths = re.findall(rf"`((?:{tops})\.[A-Za-z.]+)`", text)
        assert paths
        assert [path for path in paths if schema_at(path) is None] == []


def test_each_promise_is_held_by_tests_that_exist() -> None:
    section = PAGE.partition("## What the chart promises")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 15
    files = Path(__file__).parents[1].rglob("test_*.py")
    written = {
        name
        for file in files
        for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))
    }
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= written


def test_worked_files_that_are_linked_exist() -> None:
    linked = re.findall(r"\((ci/[a-z-]+\.yaml)\)", (FOLDER / "README.md").read_text())
    assert sorted(linked) == sorted(f"ci/{file.name}" for file in (FOLDER / "ci").iterdir())
