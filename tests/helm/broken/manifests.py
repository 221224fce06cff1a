"""Manifests with one mistake each, made of what the chart renders by manifests.yaml."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.helm.chart import Manifest, pick, render
from tests.helm.variants import VARIANTS

_PLACES = {"pod": "spec template spec", "container": "spec template spec containers 0"}


@dataclass(frozen=True)
class Mutant:
    """One mistake in one manifest of a variant."""

    what: str
    variant: str
    kind: str
    suffix: str
    change: dict[str, Any]

    def manifests(self) -> list[Manifest]:
        """All manifests of the variant, with the mistake."""
        return self.made_in(render(VARIANTS[self.variant]))

    def made_in(self, manifests: list[Manifest]) -> list[Manifest]:
        """A copy of manifests with the mistake."""
        manifests = copy.deepcopy(manifests)
        first, *others = self.change["at"].split()
        path = [*_PLACES.get(first, first).split(), *others]
        _put(pick(manifests, self.kind, self.suffix), path, self.change)
        return manifests


def _put(place: Any, path: list[str], change: dict[str, Any]) -> None:
    *parents, last = path
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    if isinstance(place, list):
        index = int(last)
        place[index : index + 1] = [change["to"]] if "to" in change else []
    elif "to" in change:
        place[last] = change["to"]
    else:
        del place[last]


def _read() -> list[Mutant]:
    table = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return [
        Mutant(what, variant, kind, f"-{suffix}", change)
        for variant, places in table.items()
        for place, changes in places.items()
        for kind, suffix in [place.split()]
        for what, change in changes.items()
    ]


MUTANTS = _read()
