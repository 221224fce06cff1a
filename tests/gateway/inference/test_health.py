"""What is known of a model's health, by a clock that the test moves."""

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway.errors import (
    InferenceFailed,
    InputTooLong,
    ModelReplaced,
    NotFinite,
    Overloaded,
    TritonTimeout,
    TritonUnavailable,
    UpstreamError,
)
from gateway.inference import health as module
from gateway.inference.health import Health
from tests.gateway.clock import Clock

pytestmark = pytest.mark.anyio

AWAY = TritonUnavailable("Triton is away")


@dataclass
class Model:
    """What answers probes; the test chooses how."""

    failure: UpstreamError | None = None
    is_silent: bool = False
    busy: bool = False
    probes: list[str] = field(default_factory=list)

    async def probe(self, ensemble: str) -> None:
        self.probes.append(ensemble)
        if self.is_silent:
            await asyncio.sleep(60)
        if self.failure:
            raise self.failure

    def is_busy(self, ensemble: str) -> bool:
        return self.busy


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits five seconds for a test."""
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.01)


def answer(health: Health, error: Exception | None = None) -> None:
    """A call that succeeds, or fails so."""
    try:
        with health.noting("m"):
            if error:
                raise error
    except UpstreamError:
        pass


async def test_a_model_is_in_trouble_until_its_first_answer(health: Health, model: Model) -> None:
    assert health.trouble("m") == "was not asked yet"
    await health.probe(model, ["m"])
    assert (["m"], "") == (model.probes, health.trouble("m"))


async def test_answers_spare_probes_for_two_seconds(
    health: Health, model: Model, clock: Clock
) -> None:
    answer(health)
    assert health.trouble("m") == ""
    clock.now += 1.9
    await health.probe(model, ["m"])
    assert model.probes == []
    clock.now += 0.1
    await health.probe(model, ["m"])
    assert model.probes == ["m"]


async def test_a_call_that_meets_no_triton_is_trouble_at_once(
    health: Health, model: Model, clock: Clock
) -> None:
    answer(health)
    answer(health, AWAY)
    assert health.trouble("m") == "fails: Triton is away"
    await health.probe(model, ["m"])
    assert model.probes == []
    clock.now += 0.5
    await health.probe(model, ["m"])
    assert (["m"], "") == (model.probes, health.trouble("m"))


@pytest.mark.parametrize("error", [InferenceFailed("x"), NotFinite("x"), TritonTimeout("x")])
async def test_a_failure_that_may_lie_in_a_text_makes_a_probe_due(
    health: Health, model: Model, error: UpstreamError
) -> None:
    answer(health)
    answer(health, error)
    assert health.trouble("m") == ""
    model.failure = InferenceFailed("it is broken")
    await health.probe(model, ["m"])
    assert (["m"], "fails: it is broken") == (model.probes, health.trouble("m"))


@pytest.mark.parametrize("error", [Overloaded("full"), ModelReplaced(), InputTooLong(5, {0: 6})])
async def test_refusals_say_nothing(health: Health, model: Model, error: Exception) -> None:
    answer(health)
    with pytest.raises(type(error)), health.noting("m"):
        raise error
    await health.probe(model, ["m"])
    assert ([], "") == (model.probes, health.trouble("m"))


async def test_a_cancelled_call_says_nothing(health: Health) -> None:
    answer(health, AWAY)
    with pytest.raises(asyncio.CancelledError), health.noting("m"):
        raise asyncio.CancelledError
    assert health.trouble("m") == "fails: Triton is away"


async def test_a_model_in_trouble_is_asked_twice_a_second_until_it_answers(
    health: Health, model: Model, clock: Clock
) -> None:
    model.failure = AWAY
    for _ in range(4):
        await health.probe(model, ["m"])
        clock.now += 0.25
    assert len(model.probes) == 2
    model.failure = None
    await health.probe(model, ["m"])
    assert health.trouble("m") == ""


@pytest.mark.usefixtures("patience")
async def test_a_silent_model_is_in_trouble(health: Health, model: Model) -> None:
    answer(health)
    answer(health, NotFinite("x"))
    model.is_silent = True
    await health.probe(model, ["m"])
    assert health.trouble("m") == "does not answer"


@pytest.mark.usefixtures("patience")
async def test_a_probe_that_is_timed_out_elsewhere_is_silence_too(
    health: Health, model: Model
) -> None:
    model.failure = TritonTimeout("late")
    await health.probe(model, ["m"])
    assert health.trouble("m") == "does not answer"


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(("seconds", "trouble"), [(30.0, ""), (30.1, "does not answer")])
async def test_a_model_at_work_may_be_silent_for_half_a_minute(
    health: Health, model: Model, clock: Clock, seconds: float, trouble: str
) -> None:
    answer(health)
    model.is_silent = model.busy = True
    clock.now += seconds
    await health.probe(model, ["m"])
    assert (["m"], trouble) == (model.probes, health.trouble("m"))


async def test_nobody_probes_what_is_being_probed(health: Health, model: Model) -> None:
    model.is_silent = True
    first = asyncio.create_task(health.probe(model, ["m"]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await health.probe(model, ["m"])
    assert model.probes == ["m"]
    first.cancel()


async def test_models_are_probed_side_by_side_and_each_for_itself(
    health: Health, model: Model
) -> None:
    answer(health)
    await health.probe(model, ["m", "a", "b"])
    assert model.probes == ["a", "b"]
    assert [health.trouble(name) for name in ("m", "a", "b", "c")] == [
        "",
        "",
        "",
        "was not asked yet",
    ]


@pytest.mark.usefixtures("patience")
async def test_silence_counts_from_the_last_answer_of_who_is_silent(
    health: Health, clock: Clock, model: Model
) -> None:
    answer(health)
    clock.now += 10
    assert health.silent_seconds("m") == 0
    model.is_silent = True
    await health.probe(model, ["m"])
    clock.now += 5
    assert health.silent_seconds("m") == 15
    model.is_silent, model.failure = False, AWAY
    await health.probe(model, ["m"])
    assert health.silent_seconds("m") == 0  # it says that it fails
