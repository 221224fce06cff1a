"""What all Tritons together serve, from what each says."""

from gateway.inference.embedder import Ensemble
from gateway.inference.listing import Listed, merge


def ready(name: str, edition: str = "7") -> Ensemble:
    return Ensemble(name, parameters={"served_name": name}, edition=edition)


def listed(*ensembles: Ensemble, serving: str = "", is_reachable: bool = True) -> Listed:
    """serving: names of one letter."""
    editions = {one.name: one.edition for one in ensembles if one.name in serving}
    return Listed(ensembles, editions, is_reachable)


def found(*lists: Listed) -> list[tuple[str, str, str, int]]:
    ensembles = merge(lists).ensembles
    return [(one.name, one.state, one.edition, one.tritons) for one in ensembles]


def test_one_triton_is_told_as_it_is() -> None:
    ensembles = [ready("a"), Ensemble("b", "loading"), Ensemble("c", "idle")]
    assert ensembles == merge([listed(*ensembles)]).ensembles


def test_a_model_is_ready_if_some_triton_serves_it() -> None:
    lists = listed(ready("a"), serving="a"), listed(Ensemble("a", "loading"))
    assert [("a", "ready", "7", 1)] == found(*lists) == found(*lists[::-1])


def test_what_only_a_lost_triton_had_is_expected() -> None:
    lost = listed(ready("a"), ready("b"), Ensemble("c", "unloaded"), is_reachable=False)
    assert [("a", "ready", "7", 1), ("b", "loading", "", 1), ("c", "unloaded", "", 1)] == found(
        lost, listed(ready("a"), serving="a")
    )


def test_each_edition_is_told_with_its_tritons() -> None:
    new = listed(ready("a", "8"), serving="a")
    assert [("a", "ready", "8", 2), ("a", "ready", "7", 1)] == found(
        listed(ready("a"), serving="a"), new, new
    )


def test_an_edition_that_does_not_answer_is_none_beside_one_that_does() -> None:
    assert [("a", "ready", "7", 1)] == found(
        listed(ready("a"), serving="a"), listed(ready("a", "8"))
    )


def test_of_states_the_most_hopeful_counts() -> None:
    lists = [listed(Ensemble("a", state)) for state in ("idle", "loading", "unloaded")]
    assert [("a", "loading", "", 1)] == found(*lists)
