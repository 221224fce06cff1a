"""CachingEmbedder: an Embedder before another one, which is asked only for what is not known.

    digests ──▶ kept? ──▶ being computed by another call? wait ──▶ compute the rest, keep it

A text is embedded once, however many calls ask for it at the same moment. A call that fails or is
cancelled leaves those that waited for it to compute for themselves; what failed is never kept.

All rows of an answer are of one edition. Records are kept under the edition that gave them, and
looked up under the one that the call is made for; if it turns out to be another, the call begins
again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from gateway.caching.digests import Digests
from gateway.caching.records import pack, unpack
from gateway.caching.store import Store
from gateway.errors import InputTooLong, ModelReplaced
from gateway.inference.embedder import (
    Embedder,
    EmbeddingCall,
    Embeddings,
    Repository,
    TritonStatus,
)
from gateway.telemetry.metrics import Metrics

# Editions that one call may meet: that of its look-up, and two of a model that is being replaced.
MOST_EDITIONS = 3


@dataclass(frozen=True, slots=True)
class _Computed:
    """Records by digest, all of one edition."""

    edition: str
    records: Mapping[bytes, bytes]


_Flight: TypeAlias = "asyncio.Future[_Computed | None]"  # None if the call that computed it failed


@dataclass(slots=True)
class _Gathering:
    """What one call has so far.

    places    digest → indices of its texts in the call
    records   by digest, all of the edition
    computed  digests that Triton was asked for by this call
    editions  that it has met
    """

    call: EmbeddingCall
    places: Mapping[bytes, Sequence[int]]
    edition: str
    records: dict[bytes, bytes] = field(default_factory=dict)
    computed: set[bytes] = field(default_factory=set)
    editions: int = 1

    def missing(self) -> list[bytes]:
        return [digest for digest in self.places if digest not in self.records]


class CachingEmbedder:
    """Keeps what `embedder` computes in `store`."""

    def __init__(
        self, embedder: Embedder, store: Store, digests: Digests, metrics: Metrics
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._digests = digests
        self._metrics = metrics
        self._flights: dict[tuple[str, bytes], _Flight] = {}

    async def embed(self, call: EmbeddingCall) -> Embeddings:
        """Raises: as the embedder does; ModelReplaced if editions change faster than it answers."""
        digests = self._digests.of(call)
        gathering = _Gathering(call, _places(digests), call.edition)
        await self._read(gathering)
        while missing := gathering.missing():
            await self._compute_and_wait(gathering, missing)
        self._count(call, len(gathering.computed))
        records = [gathering.records[digest] for digest in digests]
        embeddings = unpack(records, call.number_formats, gathering.edition)
        return replace(embeddings, is_cached=not gathering.computed)

    async def _read(self, gathering: _Gathering) -> None:
        """Begins with what is kept of its edition."""
        gathering.records = {}
        if gathering.edition:
            keys = [_key(gathering.edition, digest) for digest in gathering.places]
            found = zip(gathering.places, await self._store.read(keys), strict=True)
            gathering.records = {digest: record for digest, record in found if record is not None}

    async def _compute_and_wait(self, gathering: _Gathering, missing: Sequence[bytes]) -> None:
        """Adds what is missing, but for what another call promised and could not compute."""
        flights = {d: self._flights.get((gathering.edition, d)) for d in missing}
        if gathering.call.truncation == "none":  # whose error names every text that is too long
            flights = dict.fromkeys(missing)
        own = [digest for digest, flight in flights.items() if flight is None]
        if own:
            gathering.computed.update(own)
            await self._adopt(gathering, await self._compute(gathering, own))
        for flight in dict.fromkeys(filter(None, flights.values())):
            computed = await asyncio.shield(flight)  # who waits for it must not end it
            if computed and (computed.edition == gathering.edition or not gathering.records):
                await self._adopt(gathering, computed)

    async def _adopt(self, gathering: _Gathering, computed: _Computed) -> None:
        """Adds what of it the call asks for, and drops what is of another edition.

        Raises: ModelReplaced.
        """
        if computed.edition != gathering.edition:
            gathering.editions += 1
            if gathering.editions > MOST_EDITIONS:
                raise ModelReplaced
            gathering.edition = computed.edition
            await self._read(gathering)
        wanted = gathering.places.keys() & computed.records.keys()
        gathering.records |= {digest: computed.records[digest] for digest in wanted}

    async def _compute(self, gathering: _Gathering, own: Sequence[bytes]) -> _Computed:
        """Computes, keeps, and hands to who waits."""
        flight: _Flight = asyncio.get_running_loop().create_future()
        claims = [(gathering.edition, digest) for digest in own]
        claims = [claim for claim in claims if claim not in self._flights]
        self._flights.update(dict.fromkeys(claims, flight))
        computed = None
        try:
            part = await self._embed_part(gathering, own)
            records = pack(part, gathering.call.number_formats)
            computed = _Computed(part.edition, dict(zip(own, records, strict=True)))
            keys = [_key(part.edition, digest) for digest in own]
            await self._store.write(dict(zip(keys, records, strict=True)))
        finally:
            for claim in claims:
                del self._flights[claim]
            flight.set_result(computed)
        return computed

    async def _embed_part(self, gathering: _Gathering, own: Sequence[bytes]) -> Embeddings:
        """The embeddings of some texts of the call, each once."""
        call, places = gathering.call, [gathering.places[digest] for digest in own]
        part = replace(
            call,
            texts=[call.texts[indices[0]] for indices in places],
            token_estimates=[call.token_estimates[indices[0]] for indices in places],
        )
        try:
            return await self._embedder.embed(part)
        except InputTooLong as error:
            overflows = {
                index: length for at, length in error.overflows.items() for index in places[at]
            }
            raise InputTooLong(error.max_length, overflows) from error.__cause__

    def _count(self, call: EmbeddingCall, computed: int) -> None:
        """Texts; one that a call has twice is found the second time."""
        self._metrics.cache_misses(call.model).inc(computed)
        self._metrics.cache_hits(call.model).inc(len(call.texts) - computed)

    async def repository(self) -> Repository:
        return await self._embedder.repository()

    async def probe(self, ensemble: str) -> None:
        await self._embedder.probe(ensemble)

    def is_busy(self, ensemble: str) -> bool:
        return self._embedder.is_busy(ensemble)

    def waiting_tokens(self) -> Mapping[tuple[str, ...], int]:
        return self._embedder.waiting_tokens()

    def triton_tokens(self) -> Mapping[tuple[str, ...], int]:
        return self._embedder.triton_tokens()

    def capacity_tokens(self) -> Mapping[tuple[str, ...], int]:
        return self._embedder.capacity_tokens()

    def embedded_tokens(self) -> Mapping[tuple[str, ...], int]:
        return self._embedder.embedded_tokens()

    def retries(self) -> Mapping[tuple[str, ...], int]:
        return self._embedder.retries()

    def triton_requests(self) -> Mapping[tuple[str, ...], int]:
        return self._embedder.triton_requests()

    def ready_tritons(self) -> int:
        return self._embedder.ready_tritons()

    def status(self) -> Sequence[TritonStatus]:
        return self._embedder.status()

    async def close(self) -> None:
        await self._embedder.close()
        await self._store.close()


def _key(edition: str, digest: bytes) -> bytes:
    return edition.encode() + b":" + digest


def _places(digests: Sequence[bytes]) -> dict[bytes, list[int]]:
    """Digest → indices of its texts in the call."""
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        places[digest].append(index)
    return places
