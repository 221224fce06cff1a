"""Values with one mistake each, made of the worked files by values.yaml."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.helm.chart import Values, changed, worked


@dataclass(frozen=True)
class Mistake:
    """What is wrong, in which worked file, and the words of the refusal that say where."""

    what: str
    file: str
    changes: Values
    says: str

    @property
    def values(self) -> Values:
        return changed(worked(self.file), self.changes)


def _read() -> list[Mistake]:
    table = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return [
        Mistake(what, file, mistake["set"], mistake["says"])
        for file, mistakes in table.items()
        for what, mistake in mistakes.items()
    ]


MISTAKES = _read()
