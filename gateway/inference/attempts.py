"""A chunk that was sent to one Triton, and what its sender is told."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import TritonUnavailable
from gateway.inference.messages import Answer


@dataclass(slots=True, eq=False)
class Attempt:
    """One chunk at one Triton.

    outcome  Triton's answer, or why nobody should wait for this one alone
    leave    tells that nobody waits for it any more
    """

    address: str
    ensemble: str
    sent_at: float
    outcome: asyncio.Future[Answer]
    leave: Callable[[], None]
    is_given_up: bool = False

    def take_over(self, task: asyncio.Task[Answer]) -> None:
        """What came of it, for whoever still waits."""
        if self.outcome.done():
            return
        if task.cancelled():  # its channel was closed, not who waits for it
            self._fail(TritonUnavailable("the inference server is not asked any more"))
        elif error := task.exception():
            self._fail(error)
        else:
            self.outcome.set_result(task.result())

    def _fail(self, error: BaseException) -> None:
        self.outcome.set_exception(error)
        self.outcome.exception()  # looked at, so that nobody complains where the caller left

    def give_up(self) -> None:
        """Tells who waits, once, that another Triton should be asked too.

        The answer may still come: whoever wants it finds the outcome anew.
        """
        if not self.is_given_up and not self.outcome.done():
            self.is_given_up = True
            self._fail(Silence())
            self.outcome = asyncio.get_running_loop().create_future()


class Silence(TritonUnavailable):
    """A Triton has not answered for so long that another one is asked too."""

    def __init__(self, message: str = "the inference server gives no sign of life") -> None:
        super().__init__(message)
