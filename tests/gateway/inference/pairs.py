"""Tritons of a test, each a real gRPC server in this process, and the embedder before them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.inference.triton import TritonEmbedder
from gateway.inference.windows import Windows
from tests.fakes import (
    ENSEMBLE,
    NATIVE,
    FakeTriton,
    declare_ensemble,
    serve_triton,
    unpack_texts,
)
from tests.gateway.inference.test_triton import call_for, wait_until

PROBE = b"ready?"


def calls_of(triton: FakeTriton) -> int:
    """Requests that are no probes."""
    texts = [unpack_texts(request.raw_input_contents[0]) for request in triton.requests]
    return sum(text != [PROBE] for text in texts)


class Pair:
    """Two Tritons and the embedder before them, which knows that both are well."""

    def __init__(self, tritons: Sequence[FakeTriton], ports: Sequence[int]) -> None:
        self.tritons = tritons
        self.addresses = [f"127.0.0.1:{port}" for port in ports]
        self.embedder = TritonEmbedder(
            ",".join(self.addresses), chunk_tokens=256, windows=Windows(1024, 512, 64)
        )

    def states(self) -> list[str]:
        by_address = {one.address: one.state for one in self.embedder.status()}
        return [by_address[address] for address in self.addresses]

    async def well(self) -> None:
        await wait_until(lambda: set(self.states()) == {"ready"})

    async def embed(self, *texts: bytes) -> None:
        await self.embedder.embed(call_for(*texts or (b"x",)))


@asynccontextmanager
async def pair_of(*tritons: FakeTriton) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serve_triton(triton)) for triton in tritons]
        pair = Pair(tritons, ports)
        await pair.embedder.repository()
        await pair.well()
        yield pair
        for triton in tritons:
            triton.goes_on.set()
        await pair.embedder.close()


def of_edition(edition: str, revision: str, **changed: str) -> FakeTriton:
    """A Triton whose model is another one, by its edition, revision and parameters."""
    config = declare_ensemble(revision=revision, **changed)
    native = int(changed.get("dimensions", NATIVE))
    return FakeTriton({ENSEMBLE: config}, edition=edition, native=native)
