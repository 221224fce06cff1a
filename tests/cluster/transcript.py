"""What was proved, a line each, with the seconds that it took."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.cluster.api import ApiError
from tests.cluster.helm import HelmError

REFUTED = (AssertionError, ApiError, HelmError, TimeoutError)


@dataclass
class Transcript:
    """Prints as it goes, and remembers what did not hold."""

    proved: int = 0
    failed: list[str] = field(default_factory=list)

    def title(self, text: str) -> None:
        _print(f"\n{text}")

    def note(self, text: str) -> None:
        """Something that is no proof."""
        _print(f"            {text}")

    @contextmanager
    def fact(self, text: str) -> Iterator[Callable[[str], None]]:
        """A statement that holds if the block ends; what the block says of it is added."""
        begun, said = time.monotonic(), [text]
        try:
            yield said.append
        except REFUTED as error:
            self.failed.append(text)
            _print(f"FAILED {time.monotonic() - begun:6.1f} s  {text}: {error}")
            raise
        self.proved += 1
        _print(f"ok     {time.monotonic() - begun:6.1f} s  {': '.join(said)}")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
