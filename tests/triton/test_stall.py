"""Triton's batcher must not let the encoder idle while indexers wait, as it does with priorities.

With `priority_levels` or a queue policy on the encoder, Triton sleeps up to 500 ms between two
batches, without an error or a line in the log, unless a request arrives and wakes it. So there is
one client, and no window: nothing arrives while its last chunks wait.
"""

import asyncio
import random
import re
import time
from pathlib import Path

import pytest

from export.checkpoint import DEFAULT_CHECKPOINT
from gateway.access.keys import ANYBODY
from gateway.inference.embedder import EmbeddingCall
from gateway.inference.estimates import Estimates
from gateway.inference.triton import TritonEmbedder
from gateway.inference.windows import Windows
from gateway.local.triton_process import TritonProcess
from tests.fakes import roomy_ledger
from tests.triton.conftest import RunTriton

pytestmark = [pytest.mark.triton, pytest.mark.anyio]

MODEL = DEFAULT_CHECKPOINT.replace("/", "--")
CLIENTS, TEXTS = 1, 24
SAMPLES, SAMPLE_SECONDS = 600, 0.005
BUSY_SHARE = 0.7  # 0.94 where it is fed, 0.39 with priority_levels: 2


async def test_closed_loop_indexing_keeps_the_encoder_busy(
    run_triton: RunTriton, repository: Path
) -> None:
    triton = run_triton(repository)
    embedder = TritonEmbedder(f"127.0.0.1:{triton.grpc_port}", windows=Windows(bulk=1_000_000))
    indexers = [asyncio.create_task(index_for_ever(embedder, seed)) for seed in range(CLIENTS)]
    try:
        await asyncio.sleep(1)  # until all have called
        busy_share = await asyncio.to_thread(measure_busy_share, encoder_of(triton))
        assert not any(indexer.done() for indexer in indexers)
    finally:
        for indexer in indexers:
            indexer.cancel()
        await asyncio.gather(*indexers, return_exceptions=True)
        await embedder.close()
    assert busy_share >= BUSY_SHARE


async def index_for_ever(embedder: TritonEmbedder, seed: int) -> None:
    """Calls with 24 texts of 5 to 80 words, each as soon as the last is answered."""
    draw = random.Random(seed)  # noqa: S311  # not for secrets
    while True:
        texts = [b"bread " * draw.randint(5, 80) for _ in range(TEXTS)]
        await embedder.embed(
            EmbeddingCall(
                model=DEFAULT_CHECKPOINT,
                ensemble=MODEL,
                texts=texts,
                token_estimates=Estimates().guess("", texts, 256),
                number_formats=("float",),
                dimensions=None,
                normalized=True,
                truncation="end",
                entry=roomy_ledger().open(ANYBODY),
            )
        )


def encoder_of(triton: TritonProcess) -> Path:
    """/proc of the process that is the encoder of MODEL."""
    steps = [Path(f"/proc/{pid}") for pid in triton.step_pids]
    name = re.compile(f"{MODEL}@[0-9a-f]+-encoder")
    (encoder,) = [step for step in steps if name.search((step / "cmdline").read_text())]
    return encoder


def measure_busy_share(process: Path) -> float:
    """Share of the time in which a thread of the process runs or could.

    Not its CPU time: on a machine shared with others that says nothing.
    """
    busy = 0
    for _ in range(SAMPLES):
        time.sleep(SAMPLE_SECONDS)
        stats = [(task / "stat").read_text() for task in (process / "task").iterdir()]
        busy += any(stat.rpartition(")")[2].split()[0] == "R" for stat in stats)
    return busy / SAMPLES
