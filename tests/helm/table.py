"""The table of the chart's README, from the comments in values.yaml."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

HEAD = "| value | default | what |\n| --- | --- | --- |\n"

_LINE = re.compile(r"^(?P<indent> *)(?:# -- (?P<what>.*)|(?P<key>[A-Za-z]+):.*)$")


def keys(text: str) -> Iterator[tuple[str, str]]:
    """Each key of values.yaml that has no keys below it, and its sentence, empty if it has none."""
    parents: list[str] = []
    what = ""
    for line in text.splitlines():
        if not (found := _LINE.match(line)):
            continue
        if found["what"]:
            what = found["what"]
            continue
        parents[len(found["indent"]) // 2 :] = [found["key"]]
        if what or not line.endswith(":"):
            yield ".".join(parents), what
        what = ""


def default(values: dict[str, Any], path: str) -> Any:
    """The value at a path with dots."""
    value: Any = values
    for key in path.split("."):
        value = value[key]
    return value


def render_table(text: str) -> str:
    """The table of values.yaml."""
    values = yaml.safe_load(text)
    rows = (
        f"| `{path}` | `{json.dumps(default(values, path))}` | {what} |\n"
        for path, what in keys(text)
    )
    return HEAD + "".join(rows)
