"""Who gets which revision while Tritons serve several."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gateway.access.keys import Caller
from gateway.errors import TritonUnavailable
from gateway.inference.catalogue import Catalogue
from gateway.inference.embedder import Ensemble, Repository
from gateway.inference.revisions import Shares, place
from gateway.settings import SettingsError
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder

pytestmark = pytest.mark.anyio

CALLERS = [Caller(bytes([i % 256, i // 256]) * 16) for i in range(2000)]


@dataclass(frozen=True)
class Served:
    revision: str
    edition: str = "1"
    tritons: int = 1
    id: str = "m"


def counted(shares: str, *served: Served) -> dict[str, float]:
    """Revision → its part of all callers."""
    chosen = Counter(Shares(shares).choose(served, caller).revision for caller in CALLERS)
    return {revision: count / len(CALLERS) for revision, count in chosen.items()}


OLD, NEW = Served("aaa", "1"), Served("bbb", "2")


def test_callers_follow_the_tritons() -> None:
    part = counted("", Served("aaa", "1", 3), Served("bbb", "2", 1))
    assert {"aaa": pytest.approx(0.75, abs=0.03), "bbb": pytest.approx(0.25, abs=0.03)} == part


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ("m=aaa:90,bbb:10", {"aaa": 0.9, "bbb": 0.1}),
        ("m=b:1", {"bbb": 1.0}),
        ("m=nothing:5", {"aaa": 0.5, "bbb": 0.5}),
        ("other=bbb:1", {"aaa": 0.5, "bbb": 0.5}),
        ("m=000000000002:3,aaa:1; other=x:1", {"aaa": 0.25, "bbb": 0.75}),
    ],
    ids=["canary", "all", "of none that is served", "of another model", "by edition"],
)
def test_shares_are_as_chosen(shares: str, expected: dict[str, float]) -> None:
    found = counted(shares, OLD, NEW)
    assert {key: pytest.approx(value, abs=0.03) for key, value in expected.items()} == found


def test_in_a_roll_each_caller_moves_once() -> None:
    seen: dict[Caller, list[str]] = {caller: [] for caller in CALLERS}
    for new in range(9):
        served: Sequence[Served] = [Served("aaa", "1", 8 - new), Served("bbb", "2", new)]
        served = [one for one in served if one.tritons]
        for caller, revisions in seen.items():
            revisions.append(Shares().choose(served, caller).revision)
    assert all(sorted(revisions) == revisions for revisions in seen.values())


def test_it_does_not_matter_who_is_listed_first() -> None:
    for caller in CALLERS[:100]:
        assert Shares().choose([OLD, NEW], caller) == Shares().choose([NEW, OLD], caller)


def test_editions_of_one_revision_share_the_calls_of_each_caller() -> None:
    served = Served("aaa", "1", 1), Served("aaa", "2", 3)
    chosen = Counter(Shares().choose(served, CALLERS[0]).edition for _ in range(2000))
    assert 0.7 < chosen["2"] / 2000 < 0.8


def test_who_has_no_key_stays_with_a_revision_by_the_host() -> None:
    hosts = [place(Caller(b"", (f"10.0.0.{i}", i)), "m") for i in range(200)]
    assert 0.3 < sum(hosts) / 200 < 0.7
    assert place(Caller(b"", ("a", 1)), "m") == place(Caller(b"", ("a", 2)), "m")
    assert place(Caller(), "m") != place(Caller(), "n")


@pytest.mark.parametrize("text", ["m", "m=", "m=a", "m=a:x", "m=a:1,", "=a:1", "m=a:1,b", "a:1"])
def test_what_is_no_share_is_said(text: str) -> None:
    with pytest.raises(SettingsError, match="is not like model=revision:90"):
        Shares(text)


def ensemble(edition: str, tritons: int = 1, **changed: str) -> Ensemble:
    return Ensemble(ENSEMBLE, parameters=PARAMETERS | changed, edition=edition, tritons=tritons)


async def catalogue_of(*ensembles: Ensemble, shares: str = "") -> Catalogue:
    catalogue = Catalogue(FakeEmbedder(Repository(ensembles)), shares=Shares(shares))
    await catalogue.refresh()
    return catalogue


async def test_a_model_of_several_editions_is_one_model() -> None:
    catalogue = await catalogue_of(
        ensemble("7", 3, revision="aaa"), ensemble("8", 1, revision="bbb", dimensions="512")
    )
    (model,) = catalogue.models
    assert ({}, MODEL, "aaa") == (catalogue.troubles(), model.id, model.revision)
    assert [("7", 0.75), ("8", 0.25)] == [
        (one.edition, share) for one, share in catalogue.shares_of(model)
    ]
    chosen = [catalogue.choose(model, caller) for caller in CALLERS[:50]]
    assert {("7", 1024), ("8", 512)} == {(one.edition, one.dimensions) for one in chosen}


async def test_tritons_are_counted_by_revision_whatever_the_edition() -> None:
    known = Repository(
        [
            ensemble("7", 3, revision="aaa"),
            ensemble("8", 1, revision="bbb"),
            ensemble("9", 2, revision="bbb"),
        ]
    )
    embedder = FakeEmbedder(known)
    catalogue = Catalogue(embedder)
    await catalogue.refresh()
    assert {(MODEL, "aaa"): 3, (MODEL, "bbb"): 3} == catalogue.tritons()
    embedder.repositories = TritonUnavailable("away")
    await catalogue.refresh()
    assert {} == catalogue.tritons()


async def test_the_main_edition_is_the_one_that_most_callers_get() -> None:
    catalogue = await catalogue_of(
        ensemble("7", 3, revision="aaa"),
        ensemble("8", 1, revision="bbb"),
        shares=f"{MODEL}=aaa:10,bbb:90",
    )
    assert ["bbb"] == [model.revision for model in catalogue.models]


async def test_an_edition_that_does_not_fit_is_no_trouble_beside_one_that_does() -> None:
    wrong = Ensemble(ENSEMBLE, "ready", PARAMETERS, mismatch="output X is missing", edition="8")
    catalogue = await catalogue_of(ensemble("7"), wrong)
    assert ({}, ["7"]) == (catalogue.troubles(), [model.edition for model in catalogue.models])
    alone = await catalogue_of(wrong)
    assert {ENSEMBLE: "does not fit this gateway: output X is missing"} == alone.troubles()


async def test_an_answer_names_its_revision_as_far_as_it_is_known() -> None:
    catalogue = await catalogue_of(ensemble("7", revision="aaa"), ensemble("8", revision="bbb"))
    (model,) = catalogue.models
    found = [catalogue.find_edition(model, edition).revision for edition in ("7", "8", "9")]
    assert ["aaa", "bbb", ""] == found
