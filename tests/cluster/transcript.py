"""What was proved, a line each, with the seconds that it took."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.cluster.api import ApiError
from tests.cluster.helm import HelmError

REFUTED = (AssertionError, ApiError, HelmError, TimeoutError)


class Refuted(Exception):
    """A fact that does not hold, and has been told."""


@dataclass
class Transcript:
    """Prints as it goes, and remembers what did not hold."""

    proved: int = 0
    failed: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something that is no proof."""
        _print(f"                 {text}")

    @contextmanager
    def proof(self, title: str) -> Iterator[None]:
        """Facts that build on each other: what follows a fact that does not hold is left out."""
        _print(f"\n{title}")
        try:
            yield
        except Refuted:
            pass
        except REFUTED as error:
            self._refuse("what the facts stand on", 0, error)

    @contextmanager
    def fact(self, text: str) -> Iterator[Callable[[str], None]]:
        """A statement that holds if the block ends; what the block says of it is added.

        Raises: Refuted
        """
        begun, said = time.monotonic(), [text]
        try:
            yield said.append
        except REFUTED as error:
            self._refuse(text, time.monotonic() - begun, error)
            raise Refuted from error
        self.proved += 1
        _print(f"ok     {time.monotonic() - begun:6.1f} s  {': '.join(said)}")

    def _refuse(self, text: str, seconds: float, error: Exception) -> None:
        self.failed.append(text)
        _print(f"FAILED {seconds:6.1f} s  {text}: {error}")


def fails(error: type[Exception], action: Callable[[], object]) -> str:
    """The words of the error that an action must end with.

    Raises: AssertionError if it does not.
    """
    try:
        action()
    except error as raised:
        return str(raised)
    raise AssertionError("it was done")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
