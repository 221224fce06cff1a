"""Workers that embed what the backlog gives them, and answer."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import accumulate, pairwise
from threading import Condition, Thread
from typing import Protocol

import numpy as np

from .backlog import Backlog, Memory
from .requests import Answer, Embeddings, Ids, Lengths, MicroBatch, Request

log = logging.getLogger(__name__)


class Encoder(Protocol):
    """What runs a micro-batch; `inference.CpuEncoder`."""

    threads: int  # workers
    shares_device: bool  # of all workers: a GPU, rather than a core each

    def embed(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """(T,) ids and (N,) lengths → (N, D), on all threads; nothing else runs.

        The array is the caller's, here as below. Not called by the batcher where
        a device is shared.
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
