"""Whether calls would succeed, from what Triton lists and from what came of the last calls."""

import asyncio
import logging

import pytest

from gateway.errors import InferenceFailed, TritonTimeout, TritonUnavailable
from gateway.inference import readiness as module
from gateway.inference.catalogue import Catalogue
from gateway.inference.embedder import Ensemble, Repository
from gateway.inference.health import Health
from gateway.inference.readiness import Readiness, describe
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder
from tests.gateway.clock import Clock

pytestmark = pytest.mark.anyio

OURS = Ensemble(ENSEMBLE, parameters=PARAMETERS)
LOADING = Ensemble("b", "loading"), Ensemble("b@0123456789ab-encoder", "loading")


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
def readiness(embedder: FakeEmbedder, health: Health, clock: Clock) -> Readiness:
    return Readiness(Catalogue(embedder, clock), health, embedder)


async def test_a_model_is_ready_when_it_has_answered_a_probe(
    readiness: Readiness, embedder: FakeEmbedder
) -> None:
    assert {"Triton": "was not asked yet"} == readiness.troubles()
    assert {} == await readiness.look()
    assert [ENSEMBLE] == embedder.probes


async def test_it_is_said_which_model_fails_and_why(
    readiness: Readiness, embedder: FakeEmbedder
) -> None:
    embedder.failure = InferenceFailed("inference failed")
    embedder.repositories = Repository([OURS, *LOADING])
    troubles = await readiness.look()
    assert {MODEL: "fails: inference failed", "b": "is not ready"} == troubles
    assert f"b is not ready; {MODEL} fails: inference failed" == describe(troubles)


async def test_models_of_others_never_count(readiness: Readiness, embedder: FakeEmbedder) -> None:
    embedder.repositories = Repository([OURS, Ensemble("resnet", "loading"), Ensemble("bert")])
    assert {} == await readiness.look()
    assert [ENSEMBLE] == embedder.probes


async def test_a_model_that_loads_again_says_so_and_not_what_became_of_its_calls(
    readiness: Readiness, embedder: FakeEmbedder, clock: Clock
) -> None:
    await readiness.look()
    embedder.repositories = Repository([Ensemble(ENSEMBLE, "loading")])
    embedder.failure = TritonUnavailable("away")
    clock.now += 10
    assert {MODEL: "is not ready"} == await readiness.look()


async def test_a_list_that_cannot_be_had_is_no_trouble_while_calls_succeed(
    readiness: Readiness, embedder: FakeEmbedder, clock: Clock
) -> None:
    await readiness.look()
    embedder.repositories = TritonUnavailable("away")
    clock.now += 10
    assert {} == await readiness.look()
    embedder.failure = TritonUnavailable("away")
    clock.now += 10
    assert {MODEL: "fails: away"} == await readiness.look()


async def test_calls_tell_before_any_probe(
    readiness: Readiness, embedder: FakeEmbedder, health: Health, clock: Clock
) -> None:
    await readiness.look()
    clock.now += 1
    with pytest.raises(TritonUnavailable), health.noting(ENSEMBLE):
        raise TritonUnavailable("away")
    assert {MODEL: "fails: away"} == await readiness.look()
    clock.now += 1
    assert {} == await readiness.look()
    assert [ENSEMBLE] * 2 == embedder.probes


async def test_the_silence_of_models_that_are_listed_counts(
    readiness: Readiness, embedder: FakeEmbedder, clock: Clock
) -> None:
    await readiness.look()
    clock.now += 10
    assert 0 == readiness.silent_seconds()
    embedder.failure = TritonTimeout("the deadline passed")
    await readiness.look()
    clock.now += 5
    assert 15 == readiness.silent_seconds()
    embedder.repositories = Repository([])
    await readiness.look(max_age_seconds=0)
    assert 0 == readiness.silent_seconds()


async def test_the_list_may_be_as_old_as_is_said(
    readiness: Readiness, embedder: FakeEmbedder, clock: Clock
) -> None:
    await readiness.look()
    embedder.repositories = Repository([OURS, *LOADING])
    clock.now += 0.4
    assert {} == await readiness.look()
    assert {"b": "is not ready"} == await readiness.look(max_age_seconds=0.3)


async def test_what_changes_is_logged_once(
    readiness: Readiness, embedder: FakeEmbedder, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for failure in (None, None, TritonUnavailable("away"), TritonUnavailable("away"), None):
            embedder.failure = failure
            await readiness.look()
            clock.now += 10
    told = [f"ready: {MODEL}", f"not ready: {MODEL} fails: away", f"ready: {MODEL}"]
    assert told == [record.message for record in caplog.records]


async def test_whoever_watches_survives_what_goes_wrong(
    readiness: Readiness,
    embedder: FakeEmbedder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)  # the test need not last as long
    broken = Repository(None)  # type: ignore[arg-type]
    embedder.repositories = broken
    watching = asyncio.create_task(readiness.watch())
    await asyncio.sleep(0.05)
    assert "readiness could not be looked up" in caplog.text
    embedder.repositories = Repository([OURS])
    await asyncio.sleep(0.05)
    assert {} == readiness.troubles()
    watching.cancel()


async def test_a_list_is_asked_for_often_only_while_something_is_amiss(
    readiness: Readiness, embedder: FakeEmbedder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patched because the test need not last as long, and nothing else tells the ages.
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    ages: list[float] = []
    look = readiness.look

    async def looking(max_age_seconds: float) -> dict[str, str]:
        ages.append(max_age_seconds)
        return await look(max_age_seconds)

    monkeypatch.setattr(readiness, "look", looking)
    watching = asyncio.create_task(readiness.watch())
    await asyncio.sleep(0.05)
    watching.cancel()
    assert [0.01, 2.0] == ages[:2]
