"""A Triton that dies or falls silent is started again, while the gateway answers 503."""

import contextlib
import logging
import os
import signal
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


def keep_running(
    triton: Restartable, stopping: threading.Event, is_silent: Callable[[], bool] = lambda: False
) -> None:
    """Starts Triton again whenever it or one of its steps died, ever more slowly if that fails.

    Whatever the system refuses, a process, memory, a file, it may give a minute later.

    is_silent  whether Triton runs and has not answered for too long
    """
    pause_seconds = CHECK_SECONDS
    while not stopping.wait(pause_seconds):
        try:
            trouble = "" if triton.is_whole() else "Triton or one of its steps died"
            if trouble or is_silent():
                logger.warning("%s: starting it again", trouble or "Triton does not answer")
                triton.start(stopping)
            pause_seconds = CHECK_SECONDS
        except Exception as error:  # whoever watches over others must not die of what kills them
            pause_seconds = min(2 * pause_seconds, LONGEST_BACKOFF_SECONDS)
            known = isinstance(error, CannotServe | OSError)
            logger.error(
                "%s Next attempt in %.0f s.", _sentence(error), pause_seconds, exc_info=not known
            )


def _sentence(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if text.endswith(".") else f"{text}."


@contextlib.contextmanager
def in_background(what: str, work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Runs something beside the body, and tells it to stop when the body ends.

    A gateway that went on without it would look as if all were well: if the work fails, this
    process gets SIGTERM, and the end of the body raises.

    Raises: CannotServe if the work failed, or could not begin.
    """
    stopping = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work(stopping)
        except BaseException as error:
            failures.append(error)
            logger.critical("%s failed: ending", what, exc_info=error)
            if not stopping.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run, name=what)
    try:
        try:
            _begin(thread)
            yield
        finally:
            stopping.set()
            if thread.ident is not None:
                thread.join()
    except KeyboardInterrupt:  # the SIGTERM of above, wherever it arrived, or a person's
        if not failures:
            raise
    if failures:
        raise CannotServe(f"{what} failed: {_sentence(failures[0])}") from failures[0]


def _begin(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError as error:
        raise CannotServe(f"{thread.name} cannot begin: {_sentence(error)}") from error
