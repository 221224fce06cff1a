"""Works in slices, done in turns: whoever is new does not wait for what takes long.

Nobody can tell beforehand how long a text takes. So each work begins as if it were short, and
what is not done after its first turn waits in a row of its own, where each gets a turn in turn.
Works that have begun never hold all workers if there are several.

The exporter copies this file beside the tokenizer step's `model.py`, byte for byte.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, Generic, TypeAlias, TypeVar

Result = TypeVar("Result")
# Slices of some milliseconds that end with a result; what is yielded between two of them tells
# whether the next may be longer.
Slices: TypeAlias = Generator[bool, None, Result]

TURN_SECONDS = 0.005

log = logging.getLogger(__name__)


class Work(Generic[Result]):
    """Slices of work, and what comes of them."""

    def __init__(self, slices: Slices[Result]) -> None:
        self.result: Future[Result] = Future()
        self.result.set_running_or_notify_cancel()  # nobody can take it back
        self.has_begun = False
        self._slices = slices

    def take_turn(self) -> None:
        """Runs slices until the turn is over, or a long one is next, or none is left."""
        end = time.monotonic() + TURN_SECONDS
        try:
            while not next(self._slices) and time.monotonic() < end:
                pass
        except StopIteration as done:
            self.result.set_result(done.value)
        except Exception as error:  # fails this work and no other
            self.result.set_exception(error)


class Queue:
    """Works that wait for a worker: new ones, and those that have begun.

    Where both wait they are next in turns, so that neither waits for all of the other.
    """

    def __init__(self, places: int) -> None:
        """places: workers at once for works that have begun."""
        self._new: deque[Work[Any]] = deque()
        self._begun: deque[Work[Any]] = deque()
        self._places = places
        self._was_new = False

    def __bool__(self) -> bool:
        """Whether a work can be taken."""
        return bool(self._new or (self._begun and self._places))

    def add(self, work: Work[Any]) -> None:
        """Adds a new work."""
        self._new.append(work)

    def take(self) -> Work[Any]:
        """The work that is next."""
        begun_waits = self._begun and self._places
        self._was_new = bool(self._new) and not (begun_waits and self._was_new)
        if self._was_new:
            return self._new.popleft()
        self._places -= 1
        return self._begun.popleft()

    def put_back(self, work: Work[Any]) -> None:
        """Takes back a work after its turn; it waits for another unless it is done."""
        self._places += work.has_begun
        work.has_begun = True
        if not work.result.done():
            self._begun.append(work)


class Workers:
    """Threads that give works their turns."""

    def __init__(self, count: int = 0) -> None:
        """count: threads; all but one, or the only one, may do what has begun. 0: by the cores."""
        count = count or min(4, max(2, len(os.sched_getaffinity(0))))
        self._queue = Queue(places=max(1, count - 1))
        self._is_closed = False
        self._changed = Condition()
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, slices: Slices[Result]) -> Future[Result]:
        """What comes of the slices, or what they raise."""
        work = Work(slices)
        with self._changed:
            self._queue.add(work)
            self._changed.notify()
        return work.result

    def close(self) -> None:
        """Ends the workers once all is done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        try:
            while work := self._take():
                work.take_turn()
                self._put_back(work)
        except BaseException:
            log.exception("a tokenizer's worker failed")
            os._exit(1)  # whoever waits for it would wait for ever

    def _take(self) -> Work[Any] | None:
        """The next work, None when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed)
            return self._queue.take() if self._queue else None

    def _put_back(self, work: Work[Any]) -> None:
        with self._changed:
            self._queue.put_back(work)
            self._changed.notify()
