"""Calls that share requests to a real Triton: each gets what it would get by itself."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from numpy.typing import NDArray

from export.checkpoint import DEFAULT_CHECKPOINT
from gateway.errors import InferenceFailed, InputTooLong
from gateway.inference.embedder import EmbeddingCall, Embeddings
from gateway.inference.triton import TritonEmbedder
from gateway.inference.windows import Windows
from tests.fakes import roomy_ledger
from tests.gateway.inference.test_triton import call_for, wait_until
from tests.triton.conftest import TOY_CONFIG, TOY_MODEL, RunTriton
from tests.triton.fleet import Member

pytestmark = [pytest.mark.triton, pytest.mark.anyio]

CALLERS = 16
ROOMY = Windows(bulk=65_536, interactive=32_768)
QUESTIONS = [b"what is %d times %d" % (number, number + 1) for number in range(CALLERS)]

# A text is embedded as the bytes of its checksum; one fails.
CHECKSUMS = (
    TOY_MODEL.replace("import numpy", "from zlib import crc32\nimport numpy")
    .replace(
        """        count = len(pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy())
""",
        """        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().tolist()
        count = len(texts)
        if b"odd" in texts:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("odd"))
        rows = np.array([list(crc32(text).to_bytes(4)) for text in texts], np.float32)
""",
    )
    .replace("np.full((count, 4), 0.5, np.float32)", "rows")
)


def small(text: bytes, ensemble: str, **changed: Any) -> EmbeddingCall:
    """A call that may share a request, as if the model were on a GPU."""
    fields: dict[str, Any] = {"token_estimates": [20], "micro_batch_tokens": 16_384}
    return call_for(text, ensemble=ensemble, **fields | changed)


@asynccontextmanager
async def embedder_of(*addresses: str) -> AsyncIterator[TritonEmbedder]:
    embedder = TritonEmbedder(",".join(addresses), windows=ROOMY)
    await embedder.repository()
    await wait_until(lambda: embedder.ready_tritons() == len(addresses))
    yield embedder
    await embedder.close()


def kinds(embedder: TritonEmbedder) -> dict[str, int]:
    return {kind: number for (_, kind), number in embedder.triton_requests().items()}


def numbers(found: Embeddings) -> list[bytes]:
    return [array.tobytes() for _, array in sorted(found.arrays.items())]


async def test_of_16_callers_who_share_one_has_a_text_that_is_too_long(
    run_triton: RunTriton, repository: Path
) -> None:
    ensemble = DEFAULT_CHECKPOINT.replace("/", "--")
    options: dict[str, Any] = {"truncation": "none", "number_formats": ("float", "ubinary")}
    texts = [*QUESTIONS[1:], b"x " * 600]
    async with embedder_of(f"127.0.0.1:{run_triton(repository).grpc_port}") as embedder:
        alone = [await embedder.embed(small(text, ensemble, **options)) for text in texts[:-1]]
        together = await asyncio.gather(
            *(embedder.embed(small(text, ensemble, **options)) for text in texts),
            return_exceptions=True,
        )
    refused = together.pop()
    assert isinstance(refused, InputTooLong)
    assert {0: 602} == refused.overflows
    for one, other in zip(alone, together, strict=True):
        assert isinstance(other, Embeddings)
        assert numbers(one) == numbers(other)
        assert one.token_counts.tolist() == other.token_counts.tolist()
    assert 1 == kinds(embedder)["shared"]
    assert 14 == kinds(embedder)["apart"]


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[Member]]:
    """Two Tritons whose vectors are checksums of the texts."""
    (tmp_path / "models/toy/1").mkdir(parents=True)
    (tmp_path / "models/toy/config.pbtxt").write_text(TOY_CONFIG)
    (tmp_path / "models/toy/1/model.py").write_text(CHECKSUMS)
    with ExitStack() as stack:
        made = [
            stack.enter_context(Member(tmp_path / "models", tmp_path / f"{n}.log", f"sharing-{n}"))
            for n in range(2)
        ]
        for member in made:
            member.start()
        yield made


def checksum(text: bytes) -> NDArray[np.float32]:
    return np.array([list(crc32(text).to_bytes(4))], np.float32)


async def test_a_triton_is_killed_while_callers_share_requests_fail_and_leave(
    members: list[Member],
) -> None:
    """No call fails but those of the failing text, and each gets its own vectors."""
    ledger = roomy_ledger()
    told: Counter[str] = Counter()
    is_over = asyncio.Event()

    async def call_for_ever(embedder: TritonEmbedder, caller: int) -> None:
        chance = random.Random(caller)  # noqa: S311 - of a test
        while not is_over.is_set():
            text = b"odd" if chance.random() < 0.01 else b"%d" % chance.randrange(10**9)
            call = small(text, "toy", ledger=ledger)
            try:
                async with asyncio.timeout(0.002 if chance.random() < 0.05 else 30):
                    found = await embedder.embed(call)
            except InferenceFailed:
                told["failed" if text == b"odd" else "wrong"] += 1
            except TimeoutError:
                told["left"] += 1
            else:
                is_right = (found.arrays["float"] == checksum(text)).all()
                told["right" if is_right else "wrong"] += 1
            finally:
                call.entry.close()

    async with embedder_of(*(member.address for member in members)) as embedder:
        async with asyncio.TaskGroup() as group:
            for caller in range(CALLERS):
                group.create_task(call_for_ever(embedder, caller))
            await wait_until(lambda: told["right"] > 200)
            members[0].send(signal.SIGKILL)
            so_far = told["right"]
            await wait_until(lambda: told["right"] > so_far + 200)
            is_over.set()
        await wait_until(lambda: not any(ledger.held_tokens().values()))
        assert {("interactive",): 0, ("bulk",): 0} == embedder.triton_tokens()
        assert sum(embedder.retries().values()) > 0
        assert kinds(embedder)["shared"] > 20
    assert 0 == told["wrong"]
    assert told["failed"] > 0
    assert told["left"] > 0
