"""Tritons that serve several editions of a model: each call is of one."""

import asyncio
from itertools import chain, repeat

import pytest

from gateway import Settings, create_app
from gateway.errors import (
    ModelReplaced,
)
from tests.fakes import ENSEMBLE, MODEL, older
from tests.gateway.inference.pairs import calls_of, of_edition, pair_of
from tests.gateway.inference.test_triton import MANY, call_for, wait_until
from tests.gateway.telemetry.conftest import client_of

pytestmark = pytest.mark.anyio


async def test_a_call_is_of_one_edition_while_tritons_serve_two() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("8", "bbb", dimensions="512")) as pair:
        for edition, dimensions in (("7", 1024), ("8", 512)):
            found = await pair.embedder.embed(call_for(*MANY, edition=edition))
            assert (edition, dimensions) == (found.edition, found.dimensions)
        for _ in range(5):  # of a caller who does not mind, each call is of one
            await pair.embedder.embed(call_for(*MANY))
        repository = await pair.embedder.repository()
    listed = [(one.edition, one.parameters["revision"]) for one in repository.ensembles]
    assert [("7", "aaa"), ("8", "bbb")] == listed


async def test_one_triton_knows_formats_and_the_other_does_not() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("7", "aaa")) as pair:
        older(pair.tritons[1].configs[ENSEMBLE])
        await pair.embedder.repository()
        for triton in pair.tritons:
            triton.requests.clear()
        for _ in range(4):  # they take turns
            await pair.embed()
        sizes = [[len(request.inputs) for request in triton.requests] for triton in pair.tritons]
    assert [[5, 5], [4, 4]] == sizes


async def test_a_call_of_an_edition_that_is_gone_gets_the_other() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("8", "bbb")) as pair:
        pair.tritons[0].is_ending = True
        found = await pair.embedder.embed(call_for(*MANY, edition="7"))
        assert "8" == found.edition


async def test_texts_with_the_prompt_of_one_edition_are_not_given_to_another() -> None:
    prompted = {"prompts": '{"q": "query: "}', "default_prompt_name": "q"}
    async with pair_of(of_edition("7", "aaa"), of_edition("8", "bbb", **prompted)) as pair:
        pair.tritons[0].is_ending = True
        with pytest.raises(ModelReplaced):
            await pair.embedder.embed(call_for(b"x", edition="7"))


async def test_a_model_that_is_replaced_on_one_triton_after_the_other_fails_no_call() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("7", "aaa")) as pair:
        for triton in pair.tritons:
            running = [
                asyncio.create_task(pair.embedder.embed(call_for(*MANY, edition="7")))
                for _ in range(4)
            ]
            await wait_until(lambda triton=triton: calls_of(triton) > 2)
            triton.edition = "8"
            triton.requests.clear()
            await asyncio.gather(*running)
        assert "8" == (await pair.embedder.embed(call_for(*MANY, edition="7"))).edition


async def test_the_answer_names_the_revision_that_gave_it() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("255", "bbb")) as pair:
        app = create_app(Settings(auth="off", revision_shares=f"{MODEL}=bbb:1"), pair.embedder)
        async with client_of(app) as client:
            body = {"model": MODEL, "input": "a b"}
            answer = await client.post("/v1/embeddings", json=body)
            (model,) = (await client.get("/v1/models")).json()["data"]
    assert "bbb" == answer.headers["x-model-revision"] == model["revision"]
    assert "0000000000ff" == answer.headers["x-model-edition"] == model["edition"]
    told = [(one["revision"], one["edition"], one["share"]) for one in model["revisions"]]
    assert [("bbb", "0000000000ff", 1.0), ("aaa", "000000000007", 0.0)] == sorted(told)[::-1]


async def test_both_tritons_may_be_replaced_during_one_call() -> None:
    async with pair_of(of_edition("7", "aaa"), of_edition("7", "aaa")) as pair:
        first, second = pair.tritons
        first.editions = chain(["7"], repeat("8"))
        second.editions = chain(["7"] * 3, repeat("8"))  # into the second attempt
        found = await pair.embedder.embed(call_for(*MANY, edition="7"))
    assert "8" == found.edition
