"""Chunks of small calls that wait at the same moment go to a Triton as one request.

A request costs the gateway, Triton and its three steps the same, whether it holds one text or a
hundred. So of one model and option set a Triton has few requests at a time: a chunk goes at once
while there are fewer, and what comes meanwhile goes together as soon as one of them is answered.
The last one that may be made waits, for a moment at most, until it is as big as those before it;
they are single chunks where calls are few, so that nobody waits there.

What a chunk has stays its own: its place in the lane, its tokens, its deadline, its error and its
way to another Triton. A request that fails for what it holds is made again chunk by chunk, so that
a text fails its own call only.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace

from gateway.errors import GatewayError
from gateway.inference.debts import Debts
from gateway.inference.messages import Answer, Message, build_request, split_answer
from gateway.inference.parts import OF_TRITON, Key, Line, Part
from gateway.inference.replica import LOST_SECONDS
from gateway.inference.rpc_errors import map_rpc_errors
from gateway.telemetry.timeline import Metadata

# Requests that a Triton has of a model and option set before chunks wait for one of them: while one
# is on its way, another one is worked on.
AT_ONCE = 2
# Estimated tokens that an encoder with small micro-batches has to choose from, so that none of its
# workers waits for the gateway.
CHOICE_TOKENS = 1024
# Seconds that the last request waits, at most, until it is as big as those before it.
COMPANY_SECONDS = 0.005
# Estimated tokens of a chunk that shares one, and at most half of a micro-batch: what is longer
# gains little, and would keep the others waiting.
MOST_TOKENS = 256


class Sharing:
    """The last step of every chunk, from its place in a lane to its answer.

    run       does something beside everything else
    requests  to Tritons, by model and what was in them: one chunk `alone`, some that `shared` it,
              or one `apart` from those whose request had failed
    """

    def __init__(self, run: Callable[[Coroutine[object, object, None]], object]) -> None:
        self.requests: Counter[tuple[str, ...]] = Counter()
        self._run = run
        self._lines: dict[Key, Line] = {}
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
            line = self._lines[key] = Line(max(AT_ONCE, CHOICE_TOKENS // most_tokens))
        if line.waiting or not line.may_leave(1):
            return self._infer_in_company(part, key, line)
        return self._infer_first(part, key, line)

    async def _infer_first(self, part: Part, key: Key, line: Line) -> Answer:
        """Of who finds room, and makes others wait."""
        line.in_flight += 1
        line.chunks += 1
        try:
            return await self._infer_alone(part)
        finally:
            self._come_back(key, line, 1)

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

    async def _infer_in_company(self, part: Part, key: Key, line: Line) -> Answer:
        """Waits for a request, and for what comes of it."""
        line.waiting.append(part)
        self._look_at(key, line)
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
            if not isinstance(error, OF_TRITON):
                self._debts.add(part.call.entry.caller, company_tokens)
            raise

    def _come_back(self, key: Key, line: Line, chunks: int) -> None:
        """One request less is under way: who waits is next."""
        line.in_flight -= 1
        line.chunks -= chunks
        if line.waiting:
            self._look_at(key, line)
        elif not line.in_flight and self._lines.get(key) is line:
            del self._lines[key]

    def _look_at(self, key: Key, line: Line) -> None:
        """Those who wait leave now, if they may; in a moment, if a request is left."""
        if line.may_leave(len(line.waiting)):
            self._leave(key, line)
        elif line.in_flight < line.at_once and line.timer is None:
            loop = asyncio.get_running_loop()
            line.timer = loop.call_later(COMPANY_SECONDS, self._leave, key, line)

    def _leave(self, key: Key, line: Line) -> None:
        line.stop_timer()
        line.in_flight += 1
        self._run(self._travel(key, line))

    async def _travel(self, key: Key, line: Line) -> None:
        """Sends what waits by now, and gives each its part of the answer."""
        parts = line.take()
        line.chunks += len(parts)
        line.stop_timer()
        if line.waiting:  # more than fit
            self._look_at(key, line)
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
            self._come_back(key, line, len(parts))

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
