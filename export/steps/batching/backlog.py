"""Requests that wait, and the choice of what is embedded next."""

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice
from typing import Protocol

from .requests import MicroBatch, Request, Slice

# Requests that may fill up a micro-batch.
LOOK = 512

# A micro-batch on a CPU has so many times its tokens once so many have begun since the last small
# request came: about half a second's worth. Bulk gains up to 9 %, and whoever comes after such a
# pause waits for one of twice the length; docs/decisions/0042.
WIDE, QUIET = 2, 64


class Memory(Protocol):
    """What micro-batches may take; `memory.Memory`."""

    def most_texts(self, tokens: int) -> int:
        """Texts of such a length that may share a micro-batch, at least one."""
        ...

    def is_large(self, tokens: int) -> bool:
        """Whether a text may have to wait for memory."""
        ...

    def has_room(self, tokens: int) -> bool:
        """Whether a large text may run beside those that do."""
        ...

    def take(self, tokens: int) -> None:
        """For a micro-batch whose longest text has so many tokens."""
        ...

    def give_back(self, tokens: int) -> None:
        """What was taken for it."""
        ...


class Queue:
    """Requests by arrival; any of them can leave at no cost, and the first can come back."""

    def __init__(self) -> None:
        self._arrivals: OrderedDict[Request, int] = OrderedDict()
        self.tokens = 0  # that wait

    def __bool__(self) -> bool:
        return bool(self._arrivals)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._arrivals)

    def first(self) -> Iterator[tuple[int, Request]]:
        """It and its arrival, if there is one."""
        for request, arrival in islice(self._arrivals.items(), 1):
            yield arrival, request

    def add(self, request: Request, arrival: int, last: bool = True) -> None:
        self._arrivals[request] = arrival
        if not last:
            self._arrivals.move_to_end(request, last=False)
        self.tokens += request.waiting_tokens

    def discard(self, request: Request) -> None:
        if self._arrivals.pop(request, None) is not None:
            self.tokens -= request.waiting_tokens


class Backlog:
    """Requests of which texts wait, and the choice of what is embedded next.

    The oldest request is next, but the oldest of those that fit one micro-batch may overtake it,
    once: so a query does not wait for the indexers before it, and every other micro-batch is
    theirs however many queries come. Requests whose longest text waits for memory are passed by.
    While no small ones come, micro-batches on cores are twice as wide.

    However many wait, a choice costs the same: those that may be next are at the heads of three
    queues, and what fills up is sought among the next LOOK.
    """

    def __init__(self, max_tokens: int, memory: Memory) -> None:
        """max_tokens: of one micro-batch; a longer text travels alone."""
        self._max_tokens = max_tokens
        self._memory = memory
        self._arrivals = count()
        self._small = Queue()  # fit one micro-batch
        self._bulk = Queue()
        self._large = Queue()  # of both, while their longest text may have to wait for memory
        self._was_overtaken = False
        self._since_small = 0  # micro-batches that have begun since a small request came

    def __bool__(self) -> bool:
        return bool(self._small or self._bulk or self._large)

    @property
    def is_ready(self) -> bool:
        """Whether there is something to take."""
        return bool(self._small or self._bulk or any(self._turn()))

    def add(self, request: Request) -> None:
        self._queue(request).add(request, next(self._arrivals))
        if request.tokens <= self._max_tokens:
            self._since_small = 0

    def discard(self, requests: Sequence[Request]) -> None:
        """Forget requests that have failed."""
        for request in requests:
            self._queue(request).discard(request)

    def take(self, workers: int | None) -> MicroBatch:
        """Texts for one of `workers` idle ones: its even share of what waits; None: no share.

        One request gives as many as fit; others fill up, whole ones only and of like length.
        """
        budget = self._max_tokens if workers is None else self._share(workers)
        self._since_small += 1
        arrival, first = self._choose()
        most_texts = self._memory.most_texts(first.longest)
        self._queue(first).discard(first)
        parts = [first.take(budget, most_texts)]
        if first.waiting_texts:  # it is still the oldest of its queue, even if of another one
            self._queue(first).add(first, arrival, last=False)
        parts += self._fill(parts[0], budget - len(parts[0].input_ids), most_texts)
        self._memory.take(_longest(parts))
        return parts

    def leave(self, micro_batch: MicroBatch) -> None:
        """Once for each that was taken, when it has run."""
        self._memory.give_back(_longest(micro_batch))

    def _queue(self, request: Request) -> Queue:
        """Where it waits, until the next of its texts are taken."""
        if self._memory.is_large(request.longest):
            return self._large
        return self._small if request.tokens <= self._max_tokens else self._bulk

    def _turn(self) -> Iterator[tuple[int, Request]]:
        """The first of the large ones, if it need not wait for memory."""
        return (first for first in self._large.first() if self._memory.has_room(first[1].longest))

    def _share(self, workers: int) -> int:
        ready = self._small.tokens + self._bulk.tokens
        ready += sum(request.waiting_tokens for _, request in self._turn())
        most = self._max_tokens * (WIDE if self._since_small >= QUIET else 1)
        return even_budget(ready, most, workers)

    def _choose(self) -> tuple[int, Request]:
        """Who is next, and its arrival."""
        ready = sorted((*self._small.first(), *self._bulk.first(), *self._turn()))
        first = oldest = ready[0]
        if not self._was_overtaken:
            small = (each for each in ready if each[1].tokens <= self._max_tokens)
            first = next(small, oldest)
        self._was_overtaken = first is not oldest
        return first

    def _fill(self, first: Slice, room: int, most_texts: int) -> Iterator[Slice]:
        """Others that fit the room and a worker's share of memory, of like length first.

        A large one never does, since a share holds one such text at most.
        """
        texts, longest = len(first.seq_lens), first.longest
        seen = islice(chain(self._small, self._bulk), LOOK)
        others = [request for request in seen if request.waiting_tokens <= room]
        for other in sorted(others, key=lambda request: abs(request.longest - first.longest)):
            most = most_texts
            if other.longest > longest:
                most = self._memory.most_texts(other.longest)
            texts_then = texts + other.waiting_texts
            if other.waiting_tokens <= room and texts_then <= most:
                room -= other.waiting_tokens
                texts, longest, most_texts = texts_then, max(longest, other.longest), most
                (self._small if other.tokens <= self._max_tokens else self._bulk).discard(other)
                yield other.take_all()


def even_budget(tokens: int, max_tokens: int, workers: int) -> int:
    """Tokens of a micro-batch, such that the workers finish together.

    The fewest micro-batches that the budget allows, rounded up to a multiple of the workers.
    """
    count = math.ceil(math.ceil(tokens / max_tokens) / workers) * workers
    return math.ceil(tokens / count)


def _longest(micro_batch: MicroBatch) -> int:
    """Tokens of its longest text."""
    return max(part.longest for part in micro_batch)
