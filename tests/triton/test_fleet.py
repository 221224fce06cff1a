"""One of two real Tritons is lost under load, and no call fails.

Oftener, with more faults and vectors that are compared: python -m tests.triton.fleet.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import trustme
from numpy.typing import NDArray

from gateway.access.ledger import Ledger
from gateway.inference.channels import Secure
from gateway.inference.triton import TritonEmbedder
from tests.gateway.inference.test_triton import call_for
from tests.triton.fleet import (
    Load,
    Member,
    Tally,
    Times,
    gateway_before,
    kill,
    loaded,
    measure,
    stop,
)

pytestmark = [pytest.mark.triton, pytest.mark.anyio]

SECONDS = 1.0  # of load around a fault


@pytest.fixture(scope="module")
def members(
    toy_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Member]]:
    """Two Tritons that a test may harm, if it mends them."""
    folder = tmp_path_factory.mktemp("members")
    with ExitStack() as stack:
        made = [
            stack.enter_context(Member(toy_repository, folder / f"{n}.log", f"member-{n}"))
            for n in range(2)
        ]
        for member in made:
            member.start()
        yield made


@pytest.fixture
async def load(members: list[Member], tmp_path: Path) -> AsyncIterator[Load]:
    def check(texts: slice, rows: NDArray[np.float32]) -> bool:
        return rows.shape == (texts.stop - texts.start, 4) and bool((rows == 0.5).all())

    async with gateway_before(members, tmp_path) as (client, _):
        load = Load([client], "toy", ["a b c"] * 40, [slice(0, 1), slice(0, 40)], check)
        async with loaded(load):
            yield load


@pytest.mark.parametrize("fault", [kill, stop], ids=["killed", "stopped"])
async def test_one_of_two_is_lost_under_load_and_no_call_fails(
    load: Load, members: list[Member], fault: Callable[[Load, Member], Awaitable[Times]]
) -> None:
    row = await measure(load, "", fault(load, members[0]), SECONDS)
    print(f"\n{row}")
    assert row.tally.right > 0
    assert Tally(right=row.tally.right, slowest=row.tally.slowest) == row.tally


class SecureTriton(Member):
    """One that asks its clients for a certificate."""

    files: dict[str, Path]

    def _command(self, backends: Path) -> list[str]:
        options = [f"--grpc-{name}={path}" for name, path in self.files.items()]
        return [*super()._command(backends), "--grpc-use-ssl-mutual=1", *options]


async def test_triton_is_asked_by_mutual_tls(toy_repository: Path, tmp_path: Path) -> None:
    ca = trustme.CA()
    root = tmp_path / "root"
    ca.cert_pem.write_to_path(str(root))
    files: dict[str, Path] = {}
    for who in ("server", "client"):
        certificate = ca.issue_cert("127.0.0.1")
        files |= {f"{who}-cert": tmp_path / f"{who}-cert", f"{who}-key": tmp_path / f"{who}-key"}
        certificate.cert_chain_pems[0].write_to_path(str(files[f"{who}-cert"]))
        certificate.private_key_pem.write_to_path(str(files[f"{who}-key"]))
    with SecureTriton(toy_repository, tmp_path / "log", "secure") as triton:
        triton.files = {
            "server-cert": files["server-cert"],
            "server-key": files["server-key"],
            "root-cert": root,
        }
        await asyncio.to_thread(triton.start)
        channels = Secure(str(root), str(files["client-cert"]), str(files["client-key"]))
        embedder = TritonEmbedder(triton.address, channels=channels)
        ledger = Ledger(max_bytes=1, max_tokens=1000, small_tokens=100)
        found = await embedder.embed(call_for(b"x", ensemble="toy", ledger=ledger))
        await embedder.close()
    assert 4 == found.dimensions
