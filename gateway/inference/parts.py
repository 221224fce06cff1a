"""Chunks on their way to a Triton, and those that wait to share a request."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from gateway.errors import GatewayError, Overloaded, TritonTimeout, TritonUnavailable
from gateway.inference.embedder import EmbeddingCall
from gateway.inference.messages import Answer
from gateway.inference.replica import Replica
from gateway.telemetry.timeline import Inference

# Texts of a shared request.
MOST_TEXTS = 256
# Errors that say nothing of the texts; another Triton is asked, or none.
OF_TRITON = (TritonUnavailable, TritonTimeout, Overloaded)

Key: TypeAlias = tuple[object, ...]  # of those that can share a request


class Part:
    """A chunk on its way to a Triton, by itself or with others.

    chunk      indices of its texts in the call
    tokens     estimated
    may_share  whether it may travel with chunks of other calls
    inference  as the timeline tells of it; None while it waits
    company    all that its request holds, itself included; none where it is alone
    answer     what came of a request that others may share
    """

    __slots__ = (
        "answer", "call", "chunk", "company", "inference", "is_wanted", "may_share", "replica",
        "tokens",
    )  # fmt: skip

    def __init__(
        self,
        replica: Replica,
        call: EmbeddingCall,
        chunk: Sequence[int],
        tokens: int,
        may_share: bool,
    ) -> None:
        self.replica = replica
        self.call = call
        self.chunk = chunk
        self.tokens = tokens
        self.may_share = may_share
        self.is_wanted = True
        self.inference: Inference | None = None
        self.company: Sequence[Part] = ()
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    @property
    def key(self) -> Key:
        """Of those that can share a request."""
        call = self.call
        options = call.number_formats, call.dimensions, call.normalized, call.truncation
        return self.replica, call.ensemble, *options

    def begin(self, company: Sequence["Part"] = ()) -> Inference:
        """From now on Triton has it."""
        self.company = company
        address, texts = self.replica.address, len(self.chunk)
        self.inference = self.call.timeline.infer(address, texts, self.tokens)
        return self.inference

    def leave(self) -> None:
        """Nobody wants it any more: it is not sent, unless it was."""
        self.is_wanted = False
        if self.inference is None:
            self.answer.cancel()

    def note_end(self, error: BaseException | None = None) -> None:
        """What the timeline tells of a request that it shared."""
        if self.inference is not None:
            self.inference.end(error)

    def note_tokens(self, found: int) -> None:
        """As Triton counted them."""
        if self.inference is not None:
            self.inference.tokens = found

    def is_to_be_asked_apart(self, error: BaseException) -> bool:
        """Whether an error may be for a text of another one in its company."""
        is_of_request = isinstance(error, GatewayError) and not isinstance(error, OF_TRITON)
        return is_of_request and len(self.company) > 1 and self.is_wanted


class Line:
    """Of one Triton, model and option set: requests under way, and parts that wait for one.

    at_once  requests that may be under way
    chunks   that are in those under way
    timer    when those who wait leave at the latest, where there is room
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.in_flight = 0
        self.chunks = 0
        self.waiting: deque[Part] = deque()
        self.timer: asyncio.TimerHandle | None = None

    def may_leave(self, parts: int) -> bool:
        """Whether a request of so many parts may be made now.

        The last one that may be is as big as the others.
        """
        left = self.at_once - self.in_flight
        return left > 1 or (left == 1 and parts * self.in_flight >= self.chunks)

    def stop_timer(self) -> None:
        """Nobody waits any more, or all leave now."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def take(self) -> list[Part]:
        """The next ones, in their order: as many as share a micro-batch."""
        parts: list[Part] = []
        texts = tokens = 0
        while self.waiting:
            part = self.waiting[0]
            if not part.answer.done():
                texts, tokens = texts + len(part.chunk), tokens + part.tokens
                if parts and (texts > MOST_TEXTS or tokens > part.call.micro_batch_tokens):
                    break
                parts.append(part)
            self.waiting.popleft()
        return parts
