"""What the Deployment controller of `make fleet` does next."""

from dataclasses import dataclass

import pytest

from tests.fleet.rollout import Strategy


@dataclass(frozen=True)
class FakePod:
    """`is_available` is what counts; a clock would only say when it becomes so."""

    hash: str
    state: str  # available, ready, loading, ending

    @property
    def is_deleted(self) -> bool:
        return self.state == "ending"

    @property
    def is_ready(self) -> bool:
        return self.state in ("ready", "available")

    def is_available(self, min_ready_seconds: float) -> bool:
        return self.state == "available"

    def is_of(self, template_hash: str) -> bool:
        return self.hash == template_hash


WITH_ONE_LESS = Strategy(2, max_surge=0, max_unavailable=1, min_ready_seconds=5)
WITH_ONE_MORE = Strategy(2, max_surge=1, max_unavailable=0, min_ready_seconds=0)


@pytest.mark.parametrize(
    ("strategy", "pods", "create", "delete"),
    [
        pytest.param(WITH_ONE_LESS, "", 2, "", id="at the start all are made"),
        pytest.param(WITH_ONE_LESS, "old available, old available", 0, "0", id="one has to go"),
        pytest.param(WITH_ONE_LESS, "old available, old ending", 1, "", id="one is made for it"),
        pytest.param(WITH_ONE_LESS, "old available, new loading", 0, "", id="one loads: wait"),
        pytest.param(WITH_ONE_LESS, "old available, new ready", 0, "", id="not ready for long"),
        pytest.param(WITH_ONE_LESS, "old available, new available", 0, "0", id="then the next"),
        pytest.param(WITH_ONE_LESS, "old available, old loading", 0, "1", id="the broken first"),
        pytest.param(WITH_ONE_MORE, "old available, old available", 1, "", id="one more is made"),
        pytest.param(
            WITH_ONE_MORE,
            "old available, old available, new ready",
            0,
            "",
            id="it must be available",
        ),
        pytest.param(
            WITH_ONE_MORE,
            "old available, old available, new available",
            0,
            "0",
            id="one is too much",
        ),
        pytest.param(
            WITH_ONE_MORE, "new available, new available, new ready", 0, "2", id="scaled down"
        ),
    ],
)
def test_the_plan(strategy: Strategy, pods: str, create: int, delete: str) -> None:
    known = [FakePod(*words.split()) for words in pods.split(", ") if words]
    assert strategy.plan(known, "new") == (create, [known[int(index)] for index in delete])


def test_a_rollout_is_done_when_nothing_else_is_there() -> None:
    new, ending = FakePod("new", "available"), FakePod("old", "ending")
    assert WITH_ONE_LESS.is_done([new, new], "new")
    assert not WITH_ONE_LESS.is_done([new, new, ending], "new")
    assert not WITH_ONE_LESS.is_done([new, FakePod("old", "available")], "new")
