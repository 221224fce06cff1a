"""Whether a call of a model would succeed, by what came of the last ones.

Answers of the gateway's own tell. Where none tells for a while, a probe does: one short text. A
failure that may lie in a text is no evidence against a model, it only makes a probe due.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import Overloaded, TritonTimeout, TritonUnavailable, UpstreamError

# Seconds after an answer in which nobody needs a probe, and between two probes of a model in
# trouble.
FRESH_SECONDS = 2.0
TROUBLED_SECONDS = 0.5
# Seconds for a probe. Those of a model that is at work are given longer: long texts take turns.
PROBE_SECONDS = 5.0
BUSY_SECONDS = 30.0


class Probed(Protocol):
    """What a probe asks; the Embedder is one."""

    async def probe(self, ensemble: str) -> None:
        """Embeds one short text, past all lanes.

        Raises: UpstreamError.
        """
        ...

    def is_busy(self, ensemble: str) -> bool:
        """Whether Triton has work of this model, besides probes."""
        ...


@dataclass(slots=True)
class _State:
    """Of one model: moments on the clock, and what is wrong with it."""

    answered_at: float
    due_at: float
    trouble: str = ""


class Health:
    """The health of every model that was asked for once.

    clock  seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[str, _State] = {}  # by ensemble

    def note_answer(self, ensemble: str) -> None:
        """A call came back well: nothing is wrong."""
        now = self._clock()
        self._states[ensemble] = _State(answered_at=now, due_at=now + FRESH_SECONDS)

    def note_failure(self, ensemble: str, error: UpstreamError) -> None:
        """A call failed: Triton is away, or a probe will tell."""
        state = self._state(ensemble)
        if isinstance(error, TritonUnavailable):
            state.trouble = error.message
            state.due_at = self._clock() + TROUBLED_SECONDS
        elif not isinstance(error, Overloaded):  # a full queue is a sign of life
            state.due_at = self._clock()

    def trouble(self, ensemble: str) -> str:
        """Why a call would fail; empty if it would not, as far as is known."""
        return self._state(ensemble).trouble

    async def probe(self, embedder: Probed, ensembles: Iterable[str]) -> None:
        """Asks those of the models for which it is due, side by side."""
        now = self._clock()
        due = [ensemble for ensemble in ensembles if self._state(ensemble).due_at <= now]
        await asyncio.gather(*(self._probe(embedder, ensemble) for ensemble in due))

    async def _probe(self, embedder: Probed, ensemble: str) -> None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await embedder.probe(ensemble)
        except TimeoutError:
            self._note_silence(ensemble, embedder.is_busy(ensemble))
        except TritonTimeout:
            self._note_silence(ensemble, is_busy=False)
        except UpstreamError as error:
            self._note_trouble(ensemble, error.message)
        else:
            self.note_answer(ensemble)

    def _note_silence(self, ensemble: str, is_busy: bool) -> None:
        silent_seconds = self._clock() - self._state(ensemble).answered_at
        if not is_busy or silent_seconds > BUSY_SECONDS:
            self._note_trouble(ensemble, f"no answer for {silent_seconds:.0f} s")

    def _note_trouble(self, ensemble: str, message: str) -> None:
        state = self._state(ensemble)
        state.trouble = message
        state.due_at = self._clock() + TROUBLED_SECONDS

    def _state(self, ensemble: str) -> _State:
        """A model that was never asked is due at once, and nothing is known against it."""
        now = self._clock()
        return self._states.setdefault(ensemble, _State(answered_at=now, due_at=now))
