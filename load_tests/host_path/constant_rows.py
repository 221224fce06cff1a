"""Instead of the encoder step's package `inference`: rows of a constant array, at once.

`repositories` puts this file into the place of `inference/__init__.py`. Everything else of the step
stays what was exported, so that its batching counts. The names are those that model.py imports.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CANARY = "canary.npz"
GPU_WORKERS = 2  # inference/gpu.py
MEMORY_MIB = 65_536  # never what a micro-batch waits for


class ConstantEncoder:
    """As many workers as the encoder in whose place it stands."""

    device = "of constants"

    def __init__(self, folder: Path, threads: int, shares_device: bool) -> None:
        self.threads = threads
        self.shares_device = shares_device
        with np.load(folder / CANARY) as arrays:
            self._rows: NDArray[np.float32] = arrays["embeddings"]

    def embed(self, input_ids: NDArray[Any], seq_lens: NDArray[Any]) -> NDArray[np.float32]:
        while len(self._rows) < len(seq_lens):
            self._rows = np.concatenate([self._rows, self._rows])
        return self._rows[: len(seq_lens)]

    embed_beside = embed

    def text_bytes(self, tokens: int) -> int:
        return tokens

    def working_mib(self, max_tokens: int) -> int:
        return MEMORY_MIB


CpuEncoder = GpuTarget = ConstantEncoder


class Canary:
    """Of which nothing is checked."""

    def __init__(self, path: Path) -> None:
        self.rows = [np.ones(8, dtype=np.int64)]

    def check(self, encoder: ConstantEncoder) -> float:
        return 1.0


def open_on_cpu(folder: Path, settings: Mapping[str, str]) -> ConstantEncoder:
    return ConstantEncoder(folder, len(os.sched_getaffinity(0)), shares_device=False)


def open_on_gpu(
    folder: Path, settings: Mapping[str, str], number: int, edition: str
) -> ConstantEncoder:
    print("encoder: rows of a constant array", file=sys.stderr)
    return ConstantEncoder(folder, GPU_WORKERS, shares_device=True)


def warm_up(encoder: ConstantEncoder, text: NDArray[Any], max_tokens: int) -> None:
    """Nothing is cold."""
