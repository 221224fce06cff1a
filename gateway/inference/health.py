"""Whether a call of a model would succeed, by what came of the last ones.

The gateway's own answers tell. Where none does for a while, a probe does: one short text. A
failure that may lie in a text is no evidence against a model, it only makes a probe due.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from gateway.errors import (
    ModelReplaced,
    Overloaded,
    TritonTimeout,
    TritonUnavailable,
    UpstreamError,
)

# Seconds after an answer in which nobody needs a probe, and between two probes of a model in
# trouble.
FRESH_SECONDS = 2.0
TROUBLED_SECONDS = 0.5
# Seconds for a probe. A model that is at work may take longer: long texts take turns.
PROBE_SECONDS = 5.0
BUSY_SECONDS = 30.0
SILENT = "does not answer"


class Probed(Protocol):
    """What a probe asks; the Embedder is one."""

    async def probe(self, ensemble: str) -> None:
        """Embeds one short text, past all lanes.

        Raises: UpstreamError.
        """
        ...

    def is_busy(self, ensemble: str) -> bool:
        """Whether Triton has work of this model, probes aside."""
        ...


@dataclass(slots=True)
class _State:
    """Of one model: moments on the clock, and what is wrong with it."""

    answered_at: float
    due_at: float
    trouble: str = "was not asked yet"


class Health:
    """The health of models, by the names of their ensembles.

    clock  seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[str, _State] = {}

    def trouble(self, ensemble: str) -> str:
        """Why a call would fail; empty if it would not, as far as is known."""
        return self._state(ensemble).trouble

    def silent_seconds(self, ensemble: str) -> float:
        """Since the last answer of a model that does not answer; 0 of any other."""
        state = self._state(ensemble)
        return self._clock() - state.answered_at if state.trouble == SILENT else 0.0

    def noting(self, ensemble: str) -> "Noting":
        """Notes what comes of a call; one that is cancelled says nothing."""
        return Noting(self, ensemble)

    async def probe(self, probed: Probed, ensembles: Iterable[str]) -> None:
        """Asks those of the models for which it is time, side by side."""
        now = self._clock()
        due = [ensemble for ensemble in ensembles if self._state(ensemble).due_at <= now]
        await asyncio.gather(*(self._probe(probed, ensemble) for ensemble in due))

    async def _probe(self, probed: Probed, ensemble: str) -> None:
        self._state(ensemble).due_at = self._clock() + PROBE_SECONDS  # by nobody else meanwhile
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await probed.probe(ensemble)
        except (TimeoutError, TritonTimeout):
            self._note_silence(ensemble, probed.is_busy(ensemble))
        except UpstreamError as error:
            self._note_trouble(ensemble, f"fails: {error.message}")
        else:
            self.note_answer(ensemble)

    def note_answer(self, ensemble: str) -> None:
        now = self._clock()
        self._states[ensemble] = _State(now, due_at=now + FRESH_SECONDS, trouble="")

    def note_failure(self, ensemble: str, error: UpstreamError) -> None:
        if isinstance(error, ModelReplaced):
            return  # both editions answered
        if isinstance(error, TritonUnavailable):
            self._note_trouble(ensemble, f"fails: {error.message}")
        elif not isinstance(error, Overloaded):  # a full queue is a sign of life
            self._state(ensemble).due_at = self._clock()

    def _note_silence(self, ensemble: str, is_busy: bool) -> None:
        silent_seconds = self._clock() - self._state(ensemble).answered_at
        if not is_busy or silent_seconds > BUSY_SECONDS:
            self._note_trouble(ensemble, SILENT)

    def _note_trouble(self, ensemble: str, message: str) -> None:
        state = self._state(ensemble)
        state.trouble, state.due_at = message, self._clock() + TROUBLED_SECONDS

    def _state(self, ensemble: str) -> _State:
        """A model that was never asked is due at once."""
        now = self._clock()
        return self._states.setdefault(ensemble, _State(answered_at=now, due_at=now))


class Noting:
    """Of one call.

    is_answer  whether Triton was asked: what was kept from earlier calls says nothing of it
    """

    __slots__ = ("_ensemble", "_health", "is_answer")

    def __init__(self, health: Health, ensemble: str) -> None:
        self.is_answer = True
        self._health = health
        self._ensemble = ensemble

    def __enter__(self) -> "Noting":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, UpstreamError):
            self._health.note_failure(self._ensemble, error)
        elif error is None and self.is_answer:
            self._health.note_answer(self._ensemble)
