"""A Triton that dies is started again, while the gateway answers 503."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from gateway.local.triton_wheel import CannotServe

CHECK_SECONDS = 0.5  # between two looks at Triton
LONGEST_BACKOFF_SECONDS = 30.0

logger = logging.getLogger(__name__)


def check_repository(folder: Path) -> None:
    """Raises: CannotServe if the folder holds no exported model."""
    if not any(folder.glob("*/config.pbtxt")):
        state = "is no model repository" if folder.exists() else "does not exist"
        raise CannotServe(
            f"{folder} {state}: export a model into it with `python -m export --output {folder}`."
        )


class Restartable(Protocol):
    """What keep_running needs of a TritonProcess."""

    def is_whole(self) -> bool: ...

    def start(self, stopping: threading.Event | None = None) -> None: ...


def keep_running(triton: Restartable, stopping: threading.Event) -> None:
    """Start Triton again whenever it or one of its steps died, ever more slowly if that fails."""
    pause_seconds = CHECK_SECONDS
    while not stopping.wait(pause_seconds):
        if triton.is_whole():
            continue
        logger.warning("Triton or one of its steps died: starting it again")
        try:
            triton.start(stopping)
            pause_seconds = CHECK_SECONDS
        except CannotServe as error:
            pause_seconds = min(2 * pause_seconds, LONGEST_BACKOFF_SECONDS)
            logger.error("%s Next attempt in %.0f s.", error, pause_seconds)


@contextlib.contextmanager
def in_background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run something beside the body, and tell it to stop when the body ends."""
    stopping = threading.Event()
    thread = threading.Thread(target=work, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
