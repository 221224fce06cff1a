"""What can be served, under which names."""

import asyncio
import logging
import time
from collections.abc import Sequence

import pytest

from gateway.errors import AmbiguousModel, Forbidden, TritonUnavailable, UnknownModel
from gateway.inference.catalogue import Catalogue, ServedModel, describe
from gateway.inference.embedder import Ensemble, Repository, State
from gateway.inference.prompts import Prompts
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder

pytestmark = pytest.mark.anyio


def ensemble(name: str, **changed: str) -> Ensemble:
    parameters = PARAMETERS | {"served_name": name, "aliases": "[]"} | changed
    return Ensemble(name.replace("/", "--"), parameters=parameters)


def steps(folder: str, *states: State, edition: str = "0123456789ab") -> list[Ensemble]:
    names = ("tokenizer", "encoder", "quantize")
    return [Ensemble(f"{folder}@{edition}-{names[i]}", state) for i, state in enumerate(states)]


class Triton:
    """A catalogue, what it is told next, how often, and by which clock."""

    def __init__(self, *ensembles: Ensemble) -> None:
        self.embedder = FakeEmbedder(Repository(ensembles))
        self.embedder.repository = self.repository  # type: ignore[method-assign]
        self.asked = 0
        self.now: float | None = None  # None: as time goes by
        self.catalogue = Catalogue(
            self.embedder, lambda: time.monotonic() if self.now is None else self.now
        )

    async def repository(self) -> Repository:
        self.asked += 1
        return await FakeEmbedder.repository(self.embedder)

    def now_lists(self, *ensembles: Ensemble) -> None:
        self.embedder.repositories = Repository(ensembles)

    def goes_away(self) -> None:
        self.embedder.repositories = TritonUnavailable("away")


async def catalogue_of(*ensembles: Ensemble) -> Catalogue:
    catalogue = Triton(*ensembles).catalogue
    await catalogue.refresh()
    return catalogue


async def told(catalogue: Catalogue, name: str) -> str:
    """What a client is told that sends this name."""
    try:
        return (await catalogue.resolve(name)).id
    except (AmbiguousModel, TritonUnavailable, UnknownModel) as error:
        return f"{error.status} {error.code}"


UNKNOWN, LATER = "422 model_not_found", "503 service_unavailable"


def test_a_model_is_what_its_parameters_say() -> None:
    expected = ServedModel(
        MODEL, ENSEMBLE, ("large",), 1024, 512, True, "abc", 7, Prompts(), None, 32
    )
    assert expected == describe(Ensemble(ENSEMBLE, parameters=PARAMETERS), created=7)
    assert (MODEL, "mxbai-embed-large-v1", "large") == expected.names


def test_a_model_has_the_prompts_and_the_similarity_of_its_checkpoint() -> None:
    parameters = {"prompts": '{"q": "query: "}', "default_prompt_name": "q", "similarity": "dot"}
    found = describe(ensemble("m", **parameters), created=7)
    assert (Prompts({"q": "query: "}, "q"), "dot") == (found.prompts, found.similarity)
    assert describe(ensemble("m", similarity=""), created=7).similarity is None


def test_a_model_says_how_many_tokens_its_encoder_takes_at_a_time() -> None:
    assert 4096 == describe(ensemble("m", micro_batch_tokens="4096"), 7).micro_batch_tokens
    earlier = {key: value for key, value in PARAMETERS.items() if key != "micro_batch_tokens"}
    assert 128 == describe(Ensemble("m", parameters=earlier), created=7).micro_batch_tokens


@pytest.mark.parametrize(
    ("name", "found"),
    [("a/m", "a--m"), ("m", "a--m"), ("quick", "a--n"), ("n", "n"), ("a/n", "a--n")],
    ids=["id", "short-name", "alias", "id-wins-over-short-name", "id-beside"],
)
async def test_names_resolve(name: str, found: str) -> None:
    catalogue = await catalogue_of(
        ensemble("a/m"), ensemble("a/n", aliases='["quick"]'), ensemble("n")
    )
    assert found == (await catalogue.resolve(name)).ensemble


async def test_a_name_of_two_models_is_refused_with_both() -> None:
    catalogue = await catalogue_of(
        ensemble("two/emb"), ensemble("one/emb"), ensemble("x", aliases='["y", "one/emb"]')
    )
    with pytest.raises(AmbiguousModel) as caught:
        await catalogue.resolve("emb")
    assert {"model": "emb", "candidates": ["one/emb", "two/emb"]} == caught.value.details
    assert "send one of these" in caught.value.message
    assert ["one/emb", "two/emb"] == [await told(catalogue, n) for n in ("one/emb", "two/emb")]
    names = {model.id: catalogue.names_of(model) for model in catalogue.models}
    assert {"one/emb": ["one/emb"], "two/emb": ["two/emb"], "x": ["x", "y"]} == names


TWIN = "shares its id a/m with another"


async def test_two_models_with_one_id_are_both_refused() -> None:
    twin = Ensemble("copy", parameters=ensemble("a/m").parameters)
    catalogue = await catalogue_of(ensemble("a/m"), twin, ensemble("b"))
    assert [LATER, LATER, "b"] == [await told(catalogue, name) for name in ("a/m", "m", "b")]
    assert {"a--m": TWIN, "copy": TWIN} == catalogue.troubles()
    assert UNKNOWN == await told(catalogue, "other")


@pytest.mark.parametrize("name", ["A", "\u0430", "a ", "\uff41", "a--m", "", "a/", "/a"])
async def test_a_name_is_what_it_is_to_the_letter(name: str) -> None:
    catalogue = await catalogue_of(ensemble("a"), ensemble("a/m"))
    assert UNKNOWN == await told(catalogue, name)


async def test_an_unknown_name_lists_what_is_served() -> None:
    catalogue = await catalogue_of(ensemble("b"), ensemble("a"), *steps("a", "ready"))
    with pytest.raises(UnknownModel) as caught:
        await catalogue.resolve("a@0123456789ab-tokenizer")
    details = {"model": "a@0123456789ab-tokenizer", "available": ["a", "b"]}
    assert details == caught.value.details


async def test_a_caller_is_told_of_no_model_but_those_that_he_may_use() -> None:
    catalogue = await catalogue_of(*map(ensemble, ("a/model", "b/model", "c/model", "d/other")))

    def allowed(id: str) -> bool:
        return id in ("a/model", "b/model")

    with pytest.raises(AmbiguousModel, match="may be any of a/model, b/model: send"):
        await catalogue.resolve("model", allowed)
    with pytest.raises(UnknownModel, match=r"available: a/model, b/model$"):
        await catalogue.resolve("nope", allowed)
    for name in ("c/model", "d/other", "other"):
        with pytest.raises(Forbidden):
            await catalogue.resolve(name, allowed)
    assert (await catalogue.resolve("model", "a/model".__eq__)).id == "a/model"


async def test_known_models_stay_known_while_triton_is_away() -> None:
    triton = Triton(ensemble("m"))
    catalogue = triton.catalogue
    await catalogue.refresh()
    created = (await catalogue.resolve("m")).created
    triton.goes_away()
    await catalogue.refresh()
    assert ({}, created) == (catalogue.troubles(), (await catalogue.resolve("m")).created)
    assert LATER == await told(catalogue, "other")  # it may have come


async def test_a_model_that_has_just_come_is_found() -> None:
    triton = Triton(ensemble("a"))
    await triton.catalogue.refresh()
    assert UNKNOWN == await told(triton.catalogue, "b")
    triton.now_lists(ensemble("a", aliases='["c"]'), ensemble("b"))
    assert ["b", "a"] == [await told(triton.catalogue, name) for name in ("b", "c")]


async def test_many_who_ask_for_unknown_names_share_an_answer() -> None:
    triton = Triton(ensemble("a"))
    await triton.catalogue.refresh()
    started = time.monotonic()
    answers = await asyncio.gather(*(told(triton.catalogue, str(i)) for i in range(50)))
    assert ({UNKNOWN}, 2) == (set(answers), triton.asked)
    await told(triton.catalogue, "x")
    assert 3 == triton.asked
    assert 0.2 <= time.monotonic() - started < 1


async def test_a_model_that_was_unloaded_may_be_one_that_is_replaced() -> None:
    triton = Triton(ensemble("a", aliases='["x"]'), ensemble("b"))
    triton.now = 1000.0
    await triton.catalogue.refresh()
    triton.now_lists(Ensemble("a", "unloaded"), ensemble("b"))
    await triton.catalogue.refresh()
    assert [LATER, LATER, UNKNOWN] == [await told(triton.catalogue, name) for name in "axy"]
    assert ["b"] == [model.id for model in triton.catalogue.models]
    assert {} == triton.catalogue.troubles()
    triton.now = 1029.9
    await triton.catalogue.refresh()
    assert [LATER, LATER, UNKNOWN] == [await told(triton.catalogue, name) for name in "axy"]
    triton.now = 1030.0
    await triton.catalogue.refresh()
    assert [UNKNOWN, UNKNOWN, "b"] == [await told(triton.catalogue, name) for name in "axb"]


async def test_a_model_that_comes_back_is_served_at_once() -> None:
    triton = Triton(ensemble("a"), ensemble("b"))
    triton.now = 1000.0
    await triton.catalogue.refresh()
    for _ in range(2):
        triton.now_lists(ensemble("b"))
        await triton.catalogue.refresh()
        assert LATER == await told(triton.catalogue, "a")
        triton.now += 20.0
        triton.now_lists(ensemble("a"), ensemble("b"))
        await triton.catalogue.refresh()
        assert "a" == await told(triton.catalogue, "a")
    assert {} == triton.catalogue._unloaded


@pytest.mark.parametrize(
    ("state", "of_steps"),
    [
        ("loading", ["loading"]),
        ("loading", ["ready", "ready", "ready"]),
        ("idle", ["loading", "idle", "idle"]),
        ("idle", ["ready", "idle", "idle"]),
        ("unloaded", ["ready", "loading", "idle"]),
    ],
)
async def test_while_a_model_of_ours_comes_nobody_knows_its_names(
    state: State, of_steps: Sequence[State]
) -> None:
    coming = Ensemble("org--my~~big", state)
    catalogue = await catalogue_of(ensemble("a"), coming, *steps("org--my~~big", *of_steps))
    assert {"org--my~~big": "is not ready"} == catalogue.troubles()
    for name in ("org/my--big", "my--big", "any-alias"):
        assert LATER == await told(catalogue, name)
    assert "a" == await told(catalogue, "a")


@pytest.mark.parametrize(
    ("state", "of_steps"),
    [
        ("idle", ["idle", "idle", "idle"]),
        ("unloaded", ["unloaded", "ready", "idle"]),
        ("unloaded", ["ready", "ready", "ready"]),
    ],
)
async def test_a_model_that_nobody_wants_is_no_trouble(
    state: State, of_steps: Sequence[State]
) -> None:
    catalogue = await catalogue_of(ensemble("a"), Ensemble("b", state), *steps("b", *of_steps))
    assert {} == catalogue.troubles()
    assert UNKNOWN == await told(catalogue, "b")


@pytest.mark.parametrize(
    "name", ["resnet", "resnet@1-encoder", "b@0123456789ab-other", "b-encoder"]
)
async def test_models_of_others_never_count(name: str) -> None:
    theirs = Ensemble(name, "loading"), Ensemble("b", "loading")
    catalogue = await catalogue_of(ensemble("a"), *theirs)
    assert {} == catalogue.troubles()
    assert UNKNOWN == await told(catalogue, "b")


async def test_a_model_that_loads_again_keeps_its_names() -> None:
    triton = Triton(ensemble("a", aliases='["x"]'), *steps("a", "ready"))
    await triton.catalogue.refresh()
    triton.now_lists(Ensemble("a", "loading"), *steps("a", "loading"))
    await triton.catalogue.refresh()
    assert ["a", "a", UNKNOWN] == [await told(triton.catalogue, name) for name in "axy"]
    assert {"a": "is not ready"} == triton.catalogue.troubles()


BROKEN = [
    (ensemble("m", dimensions="many"), "unreadable"),
    (ensemble("m", aliases="["), "unreadable"),
    (ensemble("m", aliases="1"), "unreadable"),
    (ensemble("m", aliases='"abc"'), "unreadable"),
    (ensemble("m", aliases="[1]"), "unreadable"),
    (ensemble("m", aliases='["a b"]'), "unreadable"),
    (ensemble("m", aliases="[" * 100_000), "unreadable"),
    (ensemble("m", prompts="[]"), "unreadable"),
    (ensemble("m", default_prompt_name="q"), "unreadable"),
    (ensemble("m", similarity="maxsim"), "unreadable"),
    (Ensemble("m", parameters=PARAMETERS | {"served_name": "../m"}), "unreadable"),
    (Ensemble("m", parameters={"served_name": "m"}), "unreadable"),
]


@pytest.mark.parametrize(
    ("broken", "why"),
    BROKEN,
    ids=[
        "dimensions", "aliases", "number", "string", "numbers", "alias", "brackets", "prompts",
        "default-prompt", "similarity", "id", "missing",
    ],
)  # fmt: skip
async def test_what_cannot_be_read_keeps_the_gateway_from_being_ready(
    broken: Ensemble, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        catalogue = await catalogue_of(ensemble("good"), broken)
    assert why in catalogue.troubles()["m"]
    assert ["good", LATER, LATER] == [await told(catalogue, name) for name in ("good", "m", "x")]


async def test_what_does_not_fit_keeps_the_gateway_from_being_ready() -> None:
    wrong = Ensemble("b", "ready", ensemble("b").parameters, mismatch="output FLOAT is missing")
    catalogue = await catalogue_of(ensemble("a"), wrong)
    assert {"b": "does not fit this gateway: output FLOAT is missing"} == catalogue.troubles()
    assert ["a", LATER, UNKNOWN] == [await told(catalogue, name) for name in "abc"]


async def test_a_triton_without_models_of_ours_is_not_ready() -> None:
    catalogue = await catalogue_of(Ensemble("resnet"))
    assert {"Triton": "serves no model of ours"} == catalogue.troubles()
    assert LATER == await told(catalogue, "m")


async def test_a_triton_that_was_never_heard_is_not_ready() -> None:
    triton = Triton()
    assert {"Triton": "was not asked yet"} == triton.catalogue.troubles()
    triton.goes_away()
    await triton.catalogue.refresh()
    assert {"Triton": "does not answer: away"} == triton.catalogue.troubles()


async def test_the_first_call_waits_for_the_first_look() -> None:
    triton = Triton(ensemble("m"))
    assert ["m", "m"] == await asyncio.gather(*(told(triton.catalogue, "m") for _ in range(2)))
    assert triton.asked == 1


async def test_a_recent_answer_is_not_asked_for_again() -> None:
    triton = Triton(ensemble("m"))
    await triton.catalogue.refresh()
    triton.goes_away()
    await triton.catalogue.refresh(max_age_seconds=60)
    assert triton.catalogue.troubles() == {}


async def test_a_recent_answer_is_good_for_as_long_as_is_said() -> None:
    triton = Triton(ensemble("m"))
    for now, asked in ((1000.0, 1), (1004.9, 1), (1005.0, 2)):
        triton.now = now
        await triton.catalogue.refresh(max_age_seconds=5)
        assert asked == triton.asked
