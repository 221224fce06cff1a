"""Chunks of small calls that wait at the same moment go to a Triton as one request.

A request costs the gateway, Triton and its three steps the same, whether it holds one text or a
hundred. So of one model and option set a Triton has few requests at a time: a chunk goes at once
while there are fewer, and what comes meanwhile goes together as soon as one of them is answered.
Nobody waits for company: who finds none under way is sent at once, alone.

What a chunk has stays its own: its place in the lane, its tokens, its deadline, its error and its
way to another Triton. A request that fails for what it holds is made again chunk by chunk, so that
a text fails its own call only.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TypeAlias

from gateway.errors import GatewayError, Overloaded, TritonTimeout, TritonUnavailable
from gateway.inference.debts import Debts
from gateway.inference.embedder import EmbeddingCall
from gateway.inference.messages import Answer, Message, build_request, split_answer
from gateway.inference.replica import LOST_SECONDS, Replica
from gateway.inference.rpc_errors import map_rpc_errors
from gateway.telemetry.timeline import Inference, Metadata

# Requests that a Triton has of a model and option set before chunks wait for one of them: while one
# is on its way, another one is worked on.
AT_ONCE = 2
# Estimated tokens that an encoder with small micro-batches has to choose from, so that none of its
# workers waits for the gateway.
CHOICE_TOKENS = 1024
# Of a shared request.
MOST_TEXTS = 256
# Estimated tokens of a chunk that shares one, and at most half of a micro-batch: what is longer
# gains little, and would keep the others waiting.
MOST_TOKENS = 256
# These say nothing of the texts; another Triton is asked, or none.
_OF_TRITON = (TritonUnavailable, TritonTimeout, Overloaded)

_Key: TypeAlias = tuple[object, ...]


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
    def key(self) -> _Key:
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
        is_of_request = isinstance(error, GatewayError) and not isinstance(error, _OF_TRITON)
        return is_of_request and len(self.company) > 1 and self.is_wanted


class _Line:
    """Of one Triton, model and option set: requests under way, and parts that wait for one."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.in_flight = 0
        self.waiting: deque[Part] = deque()

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


class Sharing:
    """The last step of every chunk, from its place in a lane to its answer.

    run       does something beside everything else
    requests  to Tritons, by model and what was in them: one chunk `alone`, some that `shared` it,
              or one `apart` from those whose request had failed
    """

    def __init__(self, run: Callable[[Coroutine[object, object, None]], object]) -> None:
        self.requests: Counter[tuple[str, ...]] = Counter()
        self._run = run
        self._lines: dict[_Key, _Line] = {}
        self._debts = Debts()

    def infer(self, part: Part) -> Coroutine[object, object, Answer]:
        """What the part's Triton answers to it.

        Raises: UpstreamError, InputTooLong, InvalidDimensions, DimensionsNotSupported.
        """
        most_tokens = part.call.micro_batch_tokens
        if not part.may_share or part.tokens > min(most_tokens // 2, MOST_TOKENS):
            return self._infer_alone(part)
        if self._debts.owes(part.call.entry.caller):
            return self._infer_owing(part)
        key = part.key
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(max(AT_ONCE, CHOICE_TOKENS // most_tokens))
        if line.in_flight >= line.at_once:
            return self._infer_in_company(part, line)
        return self._infer_first(part, key, line)

    async def _infer_first(self, part: Part, key: _Key, line: _Line) -> Answer:
        """Of who finds room, and makes others wait."""
        line.in_flight += 1
        try:
            return await self._infer_alone(part)
        finally:
            self._come_back(key, line)

    async def _infer_owing(self, part: Part) -> Answer:
        answer = await self._infer_alone(part)
        self._debts.pay(part.call.entry.caller, part.tokens)
        return answer

    async def _infer_alone(self, part: Part, kind: str = "alone") -> Answer:
        call, chunk = part.call, part.chunk
        with part.begin() as inference, map_rpc_errors(call):
            request = build_request(call, chunk)
            message = await self._ask(part, kind, request, inference.metadata)
        return next(split_answer(message, [len(chunk)]))

    async def _infer_in_company(self, part: Part, line: _Line) -> Answer:
        """Waits for a request, and for what comes of it."""
        line.waiting.append(part)
        try:
            with map_rpc_errors(part.call):
                answer = await part.answer
        except BaseException as error:
            part.note_end(error)
            if not part.is_to_be_asked_apart(error):
                raise
        else:
            part.note_end()
            return answer
        return await self._infer_apart(part)

    async def _infer_apart(self, part: Part) -> Answer:
        """The answer to a part whose request has failed, for another one's text or for its own."""
        company_tokens = sum(other.tokens for other in part.company)
        try:
            return await self._infer_alone(part, "apart")
        except GatewayError as error:
            if not isinstance(error, _OF_TRITON):
                self._debts.add(part.call.entry.caller, company_tokens)
            raise

    def _come_back(self, key: _Key, line: _Line) -> None:
        """One request less is under way: who waits is next."""
        line.in_flight -= 1
        if line.waiting:
            line.in_flight += 1
            self._run(self._travel(key, line))
        elif not line.in_flight:
            del self._lines[key]

    async def _travel(self, key: _Key, line: _Line) -> None:
        """Sends what waits by now, and gives each its part of the answer."""
        parts = line.take()
        try:
            for part, answer in zip(parts, await self._ask_together(parts), strict=True):
                part.answer.set_result(answer)
        except asyncio.CancelledError:  # the channel was closed
            for part in parts:
                part.answer.cancel()
            raise
        except Exception as error:
            for part in parts:
                part.answer.set_exception(error)
        finally:
            self._come_back(key, line)

    async def _ask_together(self, parts: Sequence[Part]) -> list[Answer]:
        if not parts:  # all have left
            return []
        traces = [part.begin(parts).metadata for part in parts]
        for part in parts:
            part.call.timeline.ended("queue")
        kind = "shared" if len(parts) > 1 else "alone"
        trace = next(filter(None, traces), None)
        message = await self._ask(parts[0], kind, _build_shared(parts), trace)
        return list(split_answer(message, [len(part.chunk) for part in parts]))

    def _ask(
        self, first: Part, kind: str, request: Message, metadata: Metadata | None
    ) -> Awaitable[Message]:
        self.requests[first.call.model, kind] += 1
        return first.replica.infer(request, LOST_SECONDS, metadata)


def _build_shared(parts: Sequence[Part]) -> Message:
    """The request of the one call that all would be together, under the id of the first."""
    texts = [part.call.texts[index] for part in parts for index in part.chunk]
    return build_request(replace(parts[0].call, texts=texts), range(len(texts)))
