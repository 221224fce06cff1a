"""What all Tritons together serve: one entry a model, and one for each edition that answers. Pure.

A model is ready if some Triton serves it. One that only a lost Triton had is loading: it is still
expected, and who asks for it is told to come back.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.inference.embedder import Ensemble, Repository, State

HOPE: tuple[State, ...] = ("idle", "unloaded", "loading", "ready")


@dataclass(frozen=True, slots=True)
class Listed:
    """What one Triton says it has.

    serving       ensemble → edition, of those that answer
    is_reachable  whether it says so now, and not before it was lost
    """

    ensembles: Iterable[Ensemble]
    serving: Mapping[str, str]
    is_reachable: bool


def merge(lists: Iterable[Listed]) -> Repository:
    """The repository of the fleet, by name, of each name the edition of most Tritons first."""
    found: defaultdict[str, list[tuple[Ensemble, bool]]] = defaultdict(list)
    for listed in lists:
        for ensemble in listed.ensembles:
            one, answers = _as_it_is(ensemble, listed)
            found[one.name].append((one, answers))
    return Repository([one for name in sorted(found) for one in _editions(found[name])])


def _as_it_is(ensemble: Ensemble, listed: Listed) -> tuple[Ensemble, bool]:
    """The model, and whether it answers."""
    if listed.is_reachable:
        return ensemble, ensemble.name in listed.serving
    state: State = "loading" if ensemble.state == "ready" else ensemble.state
    return Ensemble(ensemble.name, state), False


def _editions(entries: list[tuple[Ensemble, bool]]) -> list[Ensemble]:
    """The entries of one name: those that answer, else the most hopeful one."""
    ready = [(one, answers) for one, answers in entries if one.state == "ready"]
    if not ready:
        return [max((one for one, _ in entries), key=lambda one: HOPE.index(one.state))]
    answering = [one for one, answers in ready if answers] or [one for one, _ in ready]
    counts: dict[str, Ensemble] = {}
    for one in answering:
        known = counts.get(one.edition)
        counts[one.edition] = replace(known, tritons=known.tritons + 1) if known else one
    return sorted(counts.values(), key=lambda one: (-one.tritons, one.edition))
