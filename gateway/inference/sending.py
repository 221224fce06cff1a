"""One chunk of a call: sent to a Triton, and to another one where the first is lost.

Embeddings are the same whoever computes them, so a chunk may be asked for twice. It is where its
Triton stops, ends, loads or gives no sign of life. It is not where a queue is full, where time has
run out, or where a text or an option is refused: another Triton would say the same, or be next.
"""

import asyncio
from collections.abc import Sequence

import grpc

from gateway.errors import TritonUnavailable, UpstreamError
from gateway.inference.attempts import Attempt, Silence
from gateway.inference.embedder import EmbeddingCall
from gateway.inference.fleet import Fleet
from gateway.inference.lanes import Lane
from gateway.inference.messages import Answer
from gateway.inference.parts import Part
from gateway.inference.windows import Window, Wish


class Sending:
    """The way of one chunk.

    chunk  indices of its texts in the call
    """

    def __init__(self, fleet: Fleet, call: EmbeddingCall, chunk: Sequence[int], lane: Lane) -> None:
        self._fleet = fleet
        self._call = call
        self._chunk = chunk
        self._lane = lane
        self._tokens = sum(call.token_estimates[index] for index in chunk)
        self._is_small = lane is fleet.lanes[call.ensemble].interactive

    async def run(self) -> Answer:
        """The answer of the first Triton that gives one.

        Raises: UpstreamError, InputTooLong, InvalidDimensions, DimensionsNotSupported.
        """
        self._fleet.budget.pay(self._tokens)
        return await self._ask(Wish(self._call.edition))

    async def _ask(self, wish: Wish) -> Answer:
        attempt = await self._send(wish)
        try:
            return await attempt.outcome
        except Silence:
            return await self._race(wish, attempt)
        except TritonUnavailable as error:
            return await self._ask_another(wish, attempt, error)
        except asyncio.CancelledError:
            attempt.leave()
            raise

    async def _send(self, wish: Wish) -> Attempt:
        """Waits for a place, and takes it."""
        call = self._call
        window = await self._lane.take(call.entry.caller, self._tokens, wish)
        call.entry.send(self._tokens)
        if not wish.tried:
            call.timeline.ended("queue")
        replica = self._fleet.replica_of(window)
        # Who has been lost goes alone: its text may be what Tritons are lost of.
        may_share = self._is_small and not wish.tried
        part = Part(replica, call, self._chunk, self._tokens, may_share)
        outcome: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        attempt = Attempt(replica.address, call.ensemble, self._fleet.clock(), outcome, part.leave)
        replica.attempts.add(attempt)
        # An ensemble does what it has begun: a cancelled call leaves it to its end, and counted.
        self._fleet.run(self._infer(part, window, attempt)).add_done_callback(attempt.take_over)
        return attempt

    async def _infer(self, part: Part, window: Window, attempt: Attempt) -> Answer:
        """A Triton's answer, which holds its place in the lane until then."""
        call, tokens, replica = self._call, self._tokens, part.replica
        try:
            answer = await self._fleet.sharing.infer(part)
            replica.note_answer(call.ensemble, answer.edition, attempt.sent_at)
            found = sum(answer.token_counts.tolist())
            part.note_tokens(found)
            self._fleet.embedded[(call.model,)] += found
            if (more := found - tokens) > 0:
                self._lane.charge(call.entry.caller, more)
            return answer
        except UpstreamError as error:
            self._fleet.note_failure(replica, call.ensemble, error)
            raise
        finally:
            replica.attempts.discard(attempt)
            self._lane.give_back(tokens, window)
            call.entry.answered(tokens)

    async def _ask_another(self, wish: Wish, lost: Attempt, why: TritonUnavailable) -> Answer:
        """The answer of another Triton, if there is one and the budget allows it.

        Raises: UpstreamError; `why` where nobody else can be asked.
        """
        wish = Wish(wish.edition, wish.tried | {lost.address})
        if not self._fleet.may_retry(
            lost.address, self._call.ensemble, wish, self._tokens, _reason(why)
        ):
            raise why
        self._call.entry.repeat(self._tokens)
        self._lane.charge(self._call.entry.caller, -self._tokens)  # it pays once
        return await self._ask(wish)

    async def _race(self, wish: Wish, silent: Attempt) -> Answer:
        """The first answer: of the Triton that is silent, or of another one."""
        another = self._fleet.run(self._ask_another(wish, silent, Silence()))
        running: set[asyncio.Future[Answer]] = {silent.outcome, another}
        try:
            while True:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    if _is_final(one.exception()) or not running:
                        return one.result()
        finally:
            another.cancel()
            silent.leave()


def _is_final(error: BaseException | None) -> bool:
    """Whether another answer would be no better."""
    return error is None or not isinstance(error, TritonUnavailable)


def _reason(why: TritonUnavailable) -> str:
    """The label of a retry: silent, or gRPC's word for how it was lost."""
    cause = why.__cause__
    return cause.code().name.lower() if isinstance(cause, grpc.RpcError) else "silent"
