"""What can be served, under which names."""

import logging

import pytest

from gateway.errors import (
    DimensionsNotSupported,
    InvalidDimensions,
    TritonUnavailable,
    UnknownModel,
)
from gateway.inference.catalogue import Catalogue, ServedModel, describe
from gateway.inference.embedder import Ensemble, Repository
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder

pytestmark = pytest.mark.anyio


def ensemble(name: str, **changed: str) -> Ensemble:
    parameters = PARAMETERS | {"served_name": name, "aliases": "[]"} | changed
    return Ensemble(name.replace("/", "--"), parameters=parameters)


async def catalogue_of(*ensembles: Ensemble, is_ready: bool = True) -> Catalogue:
    catalogue = Catalogue(FakeEmbedder(Repository(is_ready, ensembles)))
    await catalogue.refresh()
    return catalogue


def test_a_model_is_what_its_parameters_say() -> None:
    expected = ServedModel(MODEL, ENSEMBLE, ("large",), 1024, 512, True, "abc", 7)
    assert expected == describe(Ensemble(ENSEMBLE, parameters=PARAMETERS), created=7)


@pytest.mark.parametrize(
    ("name", "ensembles"),
    [("a/m", "a--m"), ("m", "a--m"), ("quick", "a--n"), ("n", "n")],
    ids=["id", "without-organisation", "alias", "id-wins-over-bare-name-and-alias"],
)
async def test_names_resolve(name: str, ensembles: str) -> None:
    catalogue = await catalogue_of(
        ensemble("a/m"), ensemble("a/n", aliases='["quick", "m"]'), ensemble("n")
    )
    assert ensembles == catalogue.resolve(name).ensemble


async def test_an_unknown_name_lists_what_is_served() -> None:
    catalogue = await catalogue_of(ensemble("b"), ensemble("a"), Ensemble("a-encoder"))
    with pytest.raises(UnknownModel) as caught:
        catalogue.resolve("a-encoder")
    assert caught.value.details == {"model": "a-encoder", "available": ["a", "b"]}


@pytest.mark.parametrize("asked", [None, 1, 512, 1024])
async def test_allowed_dimensions(asked: int | None) -> None:
    model = (await catalogue_of(ensemble("m"))).resolve("m")
    assert (asked or 1024) == model.resolve_dimensions(asked)


@pytest.mark.parametrize("asked", [-1, 0, 1025])
@pytest.mark.parametrize("matryoshka", ["true", "false"])
async def test_dimensions_out_of_range(asked: int, matryoshka: str) -> None:
    model = (await catalogue_of(ensemble("m", matryoshka=matryoshka))).resolve("m")
    with pytest.raises(InvalidDimensions):
        model.resolve_dimensions(asked)


async def test_a_model_not_trained_for_it_is_not_cut() -> None:
    model = (await catalogue_of(ensemble("m", matryoshka="false"))).resolve("m")
    assert model.resolve_dimensions(1024) == 1024
    with pytest.raises(DimensionsNotSupported):
        model.resolve_dimensions(512)


async def test_known_models_stay_known_while_triton_is_away() -> None:
    embedder = FakeEmbedder()
    catalogue = Catalogue(embedder)
    with pytest.raises(TritonUnavailable):
        catalogue.resolve(MODEL)
    await catalogue.refresh()
    created = catalogue.resolve(MODEL).created
    embedder.repositories = TritonUnavailable("away")
    await catalogue.refresh()
    assert (catalogue.trouble, catalogue.resolve(MODEL).created) == ("away", created)


async def test_an_unloaded_model_is_forgotten() -> None:
    embedder = FakeEmbedder(Repository(True, [ensemble("a"), ensemble("b")]))
    catalogue = Catalogue(embedder)
    await catalogue.refresh()
    embedder.repositories = Repository(True, [ensemble("a")])
    await catalogue.refresh()
    with pytest.raises(UnknownModel):
        catalogue.resolve("b")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (Ensemble("m", parameters=PARAMETERS, mismatch="output FLOAT is missing"), "FLOAT"),
        (ensemble("m", dimensions="many"), "unreadable"),
        (ensemble("m", aliases="["), "unreadable"),
        (ensemble("m", aliases="1"), "unreadable"),
        (Ensemble("m", parameters={"served_name": "m"}), "unreadable"),
        (Ensemble("m", is_ready=False), "not ready"),
    ],
    ids=["tensors", "dimensions", "aliases", "alias-list", "missing", "loading"],
)
async def test_what_cannot_be_served_keeps_the_gateway_from_being_ready(
    broken: Ensemble, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        catalogue = await catalogue_of(ensemble("good"), broken)
    assert why in catalogue.trouble
    assert why in caplog.text
    assert catalogue.resolve("good").id == "good"
    with pytest.raises(TritonUnavailable):
        catalogue.resolve("m")


async def test_a_triton_without_models_of_ours_is_not_ready() -> None:
    catalogue = await catalogue_of(Ensemble("resnet"))
    assert catalogue.trouble == "Triton serves no model of ours"


async def test_a_triton_that_says_no_is_not_ready() -> None:
    assert (await catalogue_of(ensemble("m"), is_ready=False)).trouble == "Triton is not ready"


async def test_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    catalogue = Catalogue(FakeEmbedder(TritonUnavailable("away")))
    for _ in range(3):
        await catalogue.refresh()
    assert [record.message for record in caplog.records] == ["not ready: away"]


async def test_a_recent_answer_is_not_asked_for_again() -> None:
    embedder = FakeEmbedder()
    catalogue = Catalogue(embedder)
    await catalogue.refresh()
    embedder.repositories = TritonUnavailable("away")
    await catalogue.refresh(max_age_seconds=60)
    assert catalogue.trouble == ""
