"""Continuous batching: requests of packed texts, embedded in micro-batches of like length.

On a CPU small batches win: a few hundred tokens keep the activations in a core's cache, and what
arrives meanwhile waits for one of them only. A worker takes the next whenever it is free, so no
core waits for another, and a request is answered when its own texts are done. Long texts take turns
on the memory that they need, and short ones pass them meanwhile.

The exporter copies this file beside the encoder step's `model.py`, byte for byte.
"""

import logging
import math
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from itertools import accumulate, chain, count, islice, pairwise
from threading import Condition, Thread
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]

log = logging.getLogger(__name__)

# Requests that may fill up a micro-batch.
LOOK = 512

ALL = slice(None)
ONE_TEXT = np.zeros(1, dtype=np.intp)  # its order


class Answer(Protocol):
    """Who waits for embeddings, and is told once: a Future, or what costs less than one."""

    def set_result(self, embeddings: Embeddings, /) -> None:
        """(N, D) float32, one row a text, in the order they came in."""
        ...

    def set_exception(self, error: Exception, /) -> None: ...


class Request:
    """Texts of one caller, longest first: some waiting, some taken, some embedded."""

    def __init__(self, input_ids: Ids, seq_lens: Lengths, answer: Answer) -> None:
        """Copies the arrays that it is given.

        input_ids  (T,) int64, all texts one after the other
        seq_lens   (N,) int32, tokens of each text, T in sum

        Raises: ValueError if they are empty or do not fit together.
        """
        texts, tokens = len(seq_lens), len(input_ids)
        if not _fit_together(seq_lens, tokens):
            raise ValueError("SEQ_LENS must count the tokens of each text in INPUT_IDS")
        self.tokens = self.waiting_tokens = tokens  # waiting: of texts not yet taken
        self.waiting_texts = self._missing = texts
        if texts == 1:  # the same, for a tenth of the time
            self._order = ONE_TEXT
            self._lengths = self._ends = seq_lens.copy()
            self._ids = input_ids.copy()
        else:
            self._order = np.argsort(seq_lens, kind="stable")[::-1]
            self._lengths = seq_lens[self._order]
            self._ends = np.cumsum(self._lengths)
            self._ids = input_ids[_tokens_in_order(seq_lens, self._order)]
        self.longest = int(self._lengths[0])  # tokens of the longest text that waits
        self._answer = answer
        self._has_failed = False
        self._rows: Embeddings | None = None

    def take(self, max_tokens: int, max_texts: int) -> "Slice":
        """The longest texts that wait, as many as fit both, at least one."""
        if self.waiting_tokens <= max_tokens and self.waiting_texts <= max_texts:
            return self.take_all()
        start, first = self.tokens - self.waiting_tokens, self._taken
        fitting = int(np.searchsorted(self._ends, start + max_tokens, side="right"))
        end = max(min(fitting, first + max_texts), first + 1)
        if end == len(self._lengths):
            return self.take_all()
        texts, tokens = slice(first, end), slice(start, int(self._ends[end - 1]))
        taken = Slice(self, texts, self.longest, self._ids[tokens], self._lengths[texts])
        self.waiting_tokens -= len(taken.input_ids)
        self.waiting_texts -= len(taken.seq_lens)
        self.longest = int(self._lengths[end])
        return taken

    def take_all(self) -> "Slice":
        """All texts that wait."""
        if self.waiting_texts == len(self._lengths):
            self.waiting_tokens = self.waiting_texts = 0
            return Slice(self, ALL, self.longest, self._ids, self._lengths)
        texts, tokens = slice(self._taken, None), slice(self.tokens - self.waiting_tokens, None)
        self.waiting_tokens = self.waiting_texts = 0
        return Slice(self, texts, self.longest, self._ids[tokens], self._lengths[texts])

    @property
    def _taken(self) -> int:
        """Texts."""
        return len(self._lengths) - self.waiting_texts

    def put(self, texts: slice, rows: Embeddings) -> bool:
        """Keeps the (N', D) embeddings of texts that were taken; are they the last?"""
        self._missing -= len(rows)
        if len(self._lengths) == 1:
            self._rows = rows
            return True
        if self._rows is None:
            self._rows = np.empty((len(self._lengths), rows.shape[1]), dtype=rows.dtype)
        self._rows[self._order[texts]] = rows
        return not self._missing

    def fail(self) -> bool:
        """Gives up on what is missing; is this the first time?"""
        had_failed, self._has_failed = self._has_failed, True
        return not had_failed

    def tell(self, error: Exception | None = None) -> None:
        """Answers with the error, or else with what was put."""
        try:
            if error:
                self._answer.set_exception(error)
            else:
                assert self._rows is not None
                self._answer.set_result(self._rows)
        except Exception:
            log.exception("an answer could not be given")


class Slice(NamedTuple):
    """Neighbouring texts of one request, in its own order."""

    request: Request
    texts: slice
    longest: int  # tokens
    input_ids: Ids  # (T',)
    seq_lens: Lengths  # (N',)


MicroBatch: TypeAlias = Sequence[Slice]


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

    def __bool__(self) -> bool:
        return bool(self._small or self._bulk or self._large)

    @property
    def is_ready(self) -> bool:
        """Whether there is something to take."""
        return bool(self._small or self._bulk or any(self._turn()))

    def add(self, request: Request) -> None:
        self._queue(request).add(request, next(self._arrivals))

    def discard(self, requests: Sequence[Request]) -> None:
        """Forget requests that have failed."""
        for request in requests:
            self._queue(request).discard(request)

    def take(self, workers: int | None) -> MicroBatch:
        """Texts for one of `workers` idle ones: its even share of what waits; None: no share.

        One request gives as many as fit; others fill up, whole ones only and of like length.
        """
        budget = self._max_tokens if workers is None else self._share(workers)
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
        return even_budget(ready, self._max_tokens, workers)

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


class Encoder(Protocol):
    """What runs a micro-batch; `inference.CpuEncoder`."""

    threads: int  # workers
    shares_device: bool  # of all workers: a GPU, rather than a core each

    def embed(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """(T,) ids and (N,) lengths → (N, D), on all threads; nothing else runs.

        The array is the caller's, here as below. Never called on a shared device.
        """
        ...

    def embed_beside(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """The same on one thread, beside others."""
        ...


class Batcher:
    """One worker a thread of the encoder.

    Where each has a core, what waits is shared evenly among the idle ones, and a lone micro-batch
    gets all threads to itself. Where they share a device, a micro-batch gets what the budget
    allows, and the next is prepared and queued while it runs.
    """

    def __init__(self, encoder: Encoder, max_tokens: int, memory: Memory) -> None:
        self._encoder = encoder
        self._backlog = Backlog(max_tokens, memory)
        self._idle = encoder.threads
        self._is_alone = False
        self._is_closed = False
        self._changed = Condition()
        self._workers = [Thread(target=self._work, daemon=True) for _ in range(encoder.threads)]
        for worker in self._workers:
            worker.start()

    def submit(self, input_ids: Ids, seq_lens: Lengths) -> Future[Embeddings]:
        """(T,) int64 ids and (N,) int32 lengths → (N, D) float32, soon.

        Raises: ValueError if they do not fit together.
        """
        embeddings: Future[Embeddings] = Future()
        embeddings.set_running_or_notify_cancel()  # nobody can take it back
        self.submit_for(embeddings, input_ids, seq_lens)
        return embeddings

    def submit_for(self, answer: Answer, input_ids: Ids, seq_lens: Lengths) -> None:
        """The same for who is told by one of the workers, which it should not hold up.

        Raises: ValueError if they do not fit together.
        """
        request = Request(input_ids, seq_lens, answer)
        with self._changed:
            self._backlog.add(request)
            if self._idle:
                self._changed.notify()

    def close(self) -> None:
        """Ends the workers once all is answered."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        try:
            while micro_batch := self._take():
                self._run(micro_batch)
        except BaseException:
            log.exception("an encoder's worker failed")
            os._exit(1)  # whoever waits for it would wait for ever

    def _take(self) -> MicroBatch:
        """The next micro-batch, empty when closed."""
        with self._changed:
            self._changed.wait_for(self._can_take)
            if not self._backlog:
                self._changed.notify()  # the others end too
                return []
            if self._encoder.shares_device:
                micro_batch = self._backlog.take(workers=None)
            else:
                micro_batch = self._backlog.take(self._idle)
                self._is_alone = self._idle == len(self._workers) and not self._backlog
            self._idle -= 1
            self._changed.notify()
            return micro_batch

    def _can_take(self) -> bool:
        if self._is_alone:
            return False
        return self._backlog.is_ready or (self._is_closed and not self._backlog)

    def _run(self, micro_batch: MicroBatch) -> None:
        # While one is alone nobody else takes, so this is about this micro-batch.
        embed = self._encoder.embed if self._is_alone else self._encoder.embed_beside
        try:
            rows = _unpack(micro_batch, embed(*_pack(micro_batch)))
        except Exception as error:  # fails the requests of this micro-batch and no others
            self._fail(micro_batch, error)
        else:
            self._finish(micro_batch, rows)

    def _finish(self, micro_batch: MicroBatch, rows: Sequence[Embeddings]) -> None:
        with self._changed:
            self._leave(micro_batch)
            finished = [
                part.request
                for part, own in zip(micro_batch, rows, strict=True)
                if part.request.put(part.texts, own)
            ]
        for request in finished:
            request.tell()

    def _fail(self, micro_batch: MicroBatch, error: Exception) -> None:
        with self._changed:
            self._leave(micro_batch)
            failed = [part.request for part in micro_batch if part.request.fail()]
            self._backlog.discard(failed)
        for request in failed:
            request.tell(error)

    def _leave(self, micro_batch: MicroBatch) -> None:
        self._backlog.leave(micro_batch)
        self._idle += 1
        self._is_alone = False
        self._changed.notify()


def even_budget(tokens: int, max_tokens: int, workers: int) -> int:
    """Tokens of a micro-batch, such that the workers finish together.

    The fewest micro-batches that the budget allows, rounded up to a multiple of the workers.
    """
    count = math.ceil(math.ceil(tokens / max_tokens) / workers) * workers
    return math.ceil(tokens / count)


def _longest(micro_batch: MicroBatch) -> int:
    """Tokens of its longest text."""
    return max(part.longest for part in micro_batch)


def _pack(micro_batch: MicroBatch) -> tuple[Ids, Lengths]:
    """(T',) token ids and (N',) lengths of all slices."""
    return (
        np.concatenate([part.input_ids for part in micro_batch]),
        np.concatenate([part.seq_lens for part in micro_batch]),
    )


def _unpack(micro_batch: MicroBatch, embeddings: Embeddings) -> list[Embeddings]:
    """The rows of each slice."""
    ends = list(accumulate((len(part.seq_lens) for part in micro_batch), initial=0))
    if len(embeddings) != ends[-1]:
        raise ValueError(f"{len(embeddings)} embeddings for {ends[-1]} texts")
    return [embeddings[start:end] for start, end in pairwise(ends)]


def _fit_together(seq_lens: Lengths, tokens: int) -> bool:
    """Whether there are texts, all of them of some tokens, and of so many in sum."""
    if len(seq_lens) == 1:
        return 0 < int(seq_lens[0]) == tokens
    return bool(len(seq_lens) and seq_lens.min() > 0 and seq_lens.sum() == tokens)


def _tokens_in_order(seq_lens: Lengths, order: NDArray[np.intp]) -> NDArray[np.int64]:
    """Where each token comes from when the texts are laid out in `order`: (T,) int64."""
    lengths = seq_lens[order].astype(np.int64)
    starts = np.cumsum(seq_lens, dtype=np.int64) - seq_lens
    new_starts = np.cumsum(lengths) - lengths
    tokens: NDArray[np.int64] = np.arange(lengths.sum())
    tokens += np.repeat(starts[order] - new_starts, lengths)
    return tokens
