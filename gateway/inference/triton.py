"""TritonEmbedder: one ModelInfer per chunk on the ensemble, at one Triton or another."""

import asyncio
from collections.abc import Mapping, Sequence

from gateway.errors import InputTooLong, ModelReplaced, Overloaded
from gateway.inference import asking, chunking, tally
from gateway.inference.channels import Channels, Clear
from gateway.inference.embedder import EmbeddingCall, Embeddings, Repository, TritonStatus
from gateway.inference.fleet import Fleet
from gateway.inference.lanes import Lane
from gateway.inference.mending import Mending
from gateway.inference.merging import Merge
from gateway.inference.messages import read_answer
from gateway.inference.resolution import Addresses, Resolve, resolve
from gateway.inference.sending import Sending
from gateway.inference.windows import Windows

# A call is made once more for each Triton that may get another edition of its model meanwhile.
MOST_REPLACED = 3


class TritonEmbedder:
    """The Embedder that asks Triton over gRPC.

    address       of Triton's gRPC, as in `resolution`: 127.0.0.1:8001, dns:///triton:8001
    chunk_tokens  estimated tokens of one ModelInfer
    chunk_texts   texts of one ModelInfer
    windows       how many tokens a Triton has at a time of each model

    channels      in the clear, or by TLS
    resolve       finds the addresses of a name

    Tokens and texts are more for a model whose encoder takes more tokens at a time.
    Belongs to one event loop: channels are opened by the first call, in that call's loop.

    Raises: SettingsError if the address is none.
    """

    def __init__(
        self,
        address: str,
        *,
        chunk_tokens: int = 1024,
        chunk_texts: int = 64,
        windows: Windows = Windows(),  # noqa: B008 - frozen
        channels: Channels = Clear(),  # noqa: B008 - has no state
        resolve: Resolve = resolve,
    ) -> None:
        self._addresses = Addresses(address, resolve)
        self.fleet = Fleet(self._addresses.known(), windows, channels)
        self._mending = Mending(self.fleet, self._addresses, channels)
        self._chunk_tokens = chunk_tokens
        self._chunk_texts = chunk_texts

    async def close(self) -> None:
        await self.fleet.close()

    async def embed(self, call: EmbeddingCall) -> Embeddings:
        """The embeddings of one call; its chunks run side by side.

        The first failing chunk ends the call, and what of it has not begun. Texts that are too long
        do not: every chunk is heard, and the error names all of them. A call whose chunks fell on
        both sides of a new edition of the model is made once more.

        Raises: UpstreamError, InputTooLong, InvalidDimensions, DimensionsNotSupported.
        """
        call.entry.admit(sum(call.token_estimates))
        self._mending.start()
        max_tokens, max_texts = chunking.limits(
            self._chunk_tokens, self._chunk_texts, call.micro_batch_tokens
        )
        chunks = chunking.cut(call.token_estimates, max_tokens=max_tokens, max_texts=max_texts)
        lanes = self.fleet.lanes_of(call.ensemble, call.micro_batch_tokens)
        lane = lanes.lane_of(sum(call.token_estimates))
        if len(chunks) == 1:
            return await self._embed_chunk(call, chunks[0], lane)
        for _ in range(min(len(self.fleet.replicas), MOST_REPLACED)):
            try:
                return await self._embed_chunks(call, chunks, lane)
            except ModelReplaced as replaced:
                try:
                    call.entry.admit(sum(call.token_estimates))
                except Overloaded:
                    raise replaced from None
        return await self._embed_chunks(call, chunks, lane)

    async def _embed_chunks(
        self, call: EmbeddingCall, chunks: Sequence[list[int]], lane: Lane
    ) -> Embeddings:
        merge = Merge(len(call.texts))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._place_chunk(call, chunk, lane, merge))
                    for chunk in chunks
                ]
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]
            raise first from first.__cause__
        _raise_merged([task.result() for task in tasks])
        return merge.result()

    async def _place_chunk(
        self, call: EmbeddingCall, chunk: list[int], lane: Lane, merge: Merge
    ) -> InputTooLong | None:
        """Writes the rows of one chunk, or tells which of its texts are too long."""
        try:
            rows = await self._embed_chunk(call, chunk, lane)
        except InputTooLong as error:
            overflows = {chunk[index]: length for index, length in error.overflows.items()}
            return InputTooLong(error.max_length, overflows)
        merge.place(chunk, rows)
        return None

    async def _embed_chunk(self, call: EmbeddingCall, chunk: list[int], lane: Lane) -> Embeddings:
        answer = await Sending(self.fleet, call, chunk, lane).run()
        return read_answer(answer, call)

    async def repository(self) -> Repository:
        self._mending.start()
        await self._addresses.wait()
        return await asking.list_repository(self.fleet)

    async def probe(self, ensemble: str) -> None:
        await asking.probe_first(self.fleet, ensemble)

    def is_busy(self, ensemble: str) -> bool:
        return tally.is_busy(self.fleet, ensemble)

    def waiting_tokens(self) -> Mapping[tuple[str, ...], int]:
        return tally.sum_lanes(self.fleet, lambda lane: lane.waiting_tokens)

    def triton_tokens(self) -> Mapping[tuple[str, ...], int]:
        return tally.sum_lanes(self.fleet, lambda lane: lane.in_flight_tokens)

    def capacity_tokens(self) -> Mapping[tuple[str, ...], int]:
        return tally.capacity_tokens(self.fleet)

    def embedded_tokens(self) -> Mapping[tuple[str, ...], int]:
        return tally.embedded_tokens(self.fleet)

    def retries(self) -> Mapping[tuple[str, ...], int]:
        return self.fleet.retries

    def triton_requests(self) -> Mapping[tuple[str, ...], int]:
        return self.fleet.sharing.requests

    def ready_tritons(self) -> int:
        return self.fleet.count_ready()

    def status(self) -> Sequence[TritonStatus]:
        return tally.status(self.fleet)


def _raise_merged(refusals: Sequence[InputTooLong | None]) -> None:
    """One error for the texts of all chunks, if there are any."""
    errors = [error for error in refusals if error is not None]
    if errors:
        overflows = {index: length for error in errors for index, length in error.overflows.items()}
        raise InputTooLong(errors[0].max_length, overflows)
