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
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from operator import attrgetter
from threading import Condition, Thread
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]

log = logging.getLogger(__name__)


class Request:
    """Texts of one caller, longest first: some waiting, some taken, some embedded.

    embeddings  resolves to (N, D) float32, one row a text, in the order they came in
    """

    def __init__(self, input_ids: Ids, seq_lens: Lengths) -> None:
        """Copies what it is given.

        input_ids  (T,) int64, all texts one after the other
        seq_lens   (N,) int32, tokens of each text, T in sum

        Raises: ValueError if they are empty or do not fit together.
        """
        if not len(seq_lens) or seq_lens.min() < 1 or seq_lens.sum() != len(input_ids):
            raise ValueError("SEQ_LENS must count the tokens of each text in INPUT_IDS")
        self.embeddings: Future[Embeddings] = Future()
        self.embeddings.set_running_or_notify_cancel()  # nobody can take it back
        self.tokens = self.waiting_tokens = len(input_ids)  # waiting: of texts not yet taken
        self._order = np.argsort(seq_lens, kind="stable")[::-1]
        self._lengths = seq_lens[self._order]
        self._ends = np.cumsum(self._lengths)
        self._ids = input_ids[_tokens_in_order(seq_lens, self._order)]
        self._taken = 0  # texts
        self._missing = len(seq_lens)  # texts
        self._has_failed = False
        self._rows: Embeddings | None = None

    @property
    def longest(self) -> int:
        """Tokens of the longest text that waits."""
        return int(self._lengths[self._taken])

    @property
    def waiting_texts(self) -> int:
        return len(self._lengths) - self._taken

    def take(self, max_tokens: int, max_texts: int) -> "Slice":
        """The longest texts that wait, as many as fit both, at least one."""
        start, first = self.tokens - self.waiting_tokens, self._taken
        fitting = np.searchsorted(self._ends, start + max_tokens, side="right")
        self._taken = max(min(int(fitting), first + max_texts), first + 1)
        end = int(self._ends[self._taken - 1])
        self.waiting_tokens = self.tokens - end
        texts = slice(first, self._taken)
        return Slice(self, texts, self._ids[start:end], self._lengths[texts])

    def put(self, texts: slice, rows: Embeddings) -> bool:
        """Keeps the (N', D) embeddings of texts that were taken; are they the last?"""
        if self._rows is None:
            self._rows = np.empty((len(self._lengths), rows.shape[1]), dtype=rows.dtype)
        self._rows[self._order[texts]] = rows
        self._missing -= len(rows)
        return not self._missing

    def fail(self) -> bool:
        """Gives up on what is missing; is this the first time?"""
        had_failed, self._has_failed = self._has_failed, True
        return not had_failed

    def resolve(self) -> None:
        """Answers with what was put."""
        assert self._rows is not None
        self.embeddings.set_result(self._rows)


@dataclass(frozen=True, slots=True)
class Slice:
    """Neighbouring texts of one request, in its own order."""

    request: Request
    texts: slice
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


class Backlog:
    """Requests of which texts wait, and the choice of what is embedded next.

    The oldest request is next, but the oldest of those that fit one micro-batch may overtake it,
    once: so a query does not wait for the indexers before it, and every other micro-batch is
    theirs however many queries come. Requests whose longest text waits for memory are passed by.
    """

    def __init__(self, max_tokens: int, memory: Memory) -> None:
        """max_tokens: of one micro-batch; a longer text travels alone."""
        self._max_tokens = max_tokens
        self._memory = memory
        self._requests: list[Request] = []
        self._was_overtaken = False

    def __bool__(self) -> bool:
        return bool(self._requests)

    @property
    def is_ready(self) -> bool:
        """Whether there is something to take."""
        return any(True for _ in self._ready())

    def add(self, request: Request) -> None:
        self._requests.append(request)

    def discard(self, requests: Sequence[Request]) -> None:
        """Forget requests that have failed."""
        self._requests = [request for request in self._requests if request not in requests]

    def take(self, workers: int) -> MicroBatch:
        """Texts for one of `workers` idle ones: its even share of what waits.

        One request gives as many as fit; others fill up, whole ones only and of like length.
        """
        ready = list(self._ready())
        tokens = sum(map(attrgetter("waiting_tokens"), ready))
        budget = even_budget(tokens, self._max_tokens, workers)
        first = self._choose(ready)
        parts = [first.take(budget, self._memory.most_texts(first.longest))]
        length, room = parts[0].seq_lens[0], budget - len(parts[0].input_ids)
        others = [request for request in ready if request.waiting_tokens <= room]
        others = [request for request in others if request is not first]
        for other in sorted(others, key=lambda request: abs(request.longest - length)):
            if other.waiting_tokens <= room and self._share_holds(parts, other):
                room -= other.waiting_tokens
                parts.append(other.take(budget, other.waiting_texts))
        self._requests = [request for request in self._requests if request.waiting_tokens]
        self._memory.take(_longest(parts))
        return parts

    def _share_holds(self, parts: MicroBatch, other: Request) -> bool:
        """Whether the texts of another request fit a worker's memory beside those taken."""
        texts = sum(len(part.seq_lens) for part in parts) + other.waiting_texts
        return texts <= self._memory.most_texts(max(_longest(parts), other.longest))

    def leave(self, micro_batch: MicroBatch) -> None:
        """Once for each that was taken, when it has run."""
        self._memory.give_back(_longest(micro_batch))

    def _ready(self) -> Iterator[Request]:
        """Requests whose longest text need not wait for memory; of large ones at most one."""
        has_met_large = False
        for request in self._requests:
            if not self._memory.is_large(request.longest):
                yield request
            elif not has_met_large:
                has_met_large = True
                if self._memory.has_room(request.longest):
                    yield request

    def _choose(self, ready: Sequence[Request]) -> Request:
        first = oldest = ready[0]
        if not self._was_overtaken:
            small = (request for request in ready if request.tokens <= self._max_tokens)
            first = next(small, oldest)
        self._was_overtaken = first is not oldest
        return first


class Encoder(Protocol):
    """What runs a micro-batch; `inference.CpuEncoder`."""

    threads: int

    def embed(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """(T,) ids and (N,) lengths → (N, D), on all threads; nothing else runs."""
        ...

    def embed_beside(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """The same on one thread, beside others."""
        ...


class Batcher:
    """One worker a thread of the encoder; a lone micro-batch gets all threads to itself."""

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
        request = Request(input_ids, seq_lens)
        with self._changed:
            self._backlog.add(request)
            self._changed.notify()
        return request.embeddings

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
            request.resolve()

    def _fail(self, micro_batch: MicroBatch, error: Exception) -> None:
        with self._changed:
            self._leave(micro_batch)
            failed = [part.request for part in micro_batch if part.request.fail()]
            self._backlog.discard(failed)
        for request in failed:
            request.embeddings.set_exception(error)

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
    return max(int(part.seq_lens[0]) for part in micro_batch)


def _pack(micro_batch: MicroBatch) -> tuple[Ids, Lengths]:
    """(T',) token ids and (N',) lengths of all slices."""
    return (
        np.concatenate([part.input_ids for part in micro_batch]),
        np.concatenate([part.seq_lens for part in micro_batch]),
    )


def _unpack(micro_batch: MicroBatch, embeddings: Embeddings) -> list[Embeddings]:
    """The rows of each slice."""
    ends = np.cumsum([len(part.seq_lens) for part in micro_batch])
    if len(embeddings) != ends[-1]:
        raise ValueError(f"{len(embeddings)} embeddings for {ends[-1]} texts")
    return np.split(embeddings, ends[:-1])


def _tokens_in_order(seq_lens: Lengths, order: NDArray[np.intp]) -> NDArray[np.int64]:
    """Where each token comes from when the texts are laid out in `order`: (T,) int64."""
    lengths = seq_lens[order].astype(np.int64)
    starts = np.cumsum(seq_lens, dtype=np.int64) - seq_lens
    new_starts = np.cumsum(lengths) - lengths
    tokens: NDArray[np.int64] = np.arange(lengths.sum())
    tokens += np.repeat(starts[order] - new_starts, lengths)
    return tokens
