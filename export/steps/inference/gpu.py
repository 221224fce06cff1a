"""Embeddings by onnxruntime on a GPU, whichever of its providers the session has."""

import logging
import re
import sys

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .feeding import Feeder

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]

log = logging.getLogger(__name__)

# One computes while the next is prepared and queued: a session gives each its own stream, and both
# the same weights.
WORKERS = 2
# Rows of the widest layer that lie in memory at once, measured as the growth of the arena.
ROWS = 5
ITEM_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}

# What onnxruntime says of its arena, and of libraries that wanted memory of their own.
_NO_MEMORY = re.compile(
    r"smaller than requested bytes|Failed to allocate memory|CUDA failure 2\b|out of memory"
    r"|STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
# After these a process gets nothing more from its GPU (cudaError_t): memory that failed, an
# illegal address or instruction, a kernel that never ended or failed.
_LOST = frozenset({214, 700, 702, 709, 710, *range(714, 721), 999})


class OutOfMemory(Exception):
    """Of the GPU, for a micro-batch that cannot be made smaller."""


class DeviceLost(BaseException):
    """No run of this process can succeed any more: only a new one can.

    Not an Exception, so that it ends the batcher's worker and with it the process.
    """


class GpuEncoder:
    """One session, run by several workers. It is the same alone and beside others."""

    shares_device = True

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        precision: str,
        threads: int = WORKERS,
        most_texts: int = sys.maxsize,
    ) -> None:
        """most_texts: that the session takes in one run; others wait for the next."""
        self.threads = threads
        self._most_texts = most_texts
        self._session = session
        self._feeder = Feeder(session)
        noted = session.get_modelmeta().custom_metadata_map  # by export/graph/footprint.py
        self._cell_bytes = ROWS * ITEM_BYTES[precision] * int(noted["widest"])
        self._pair_bytes = int(noted.get("pair_bytes", 0))
        self._has_halved = False

    def embed(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """(T,) int64 token ids and (N,) int32 lengths → (N, D) float32, the caller's own.

        Where memory ends, the micro-batch is halved, once; the session lives on.

        Raises: OutOfMemory, DeviceLost
        """
        try:
            return self._run(input_ids, seq_lens)
        except OutOfMemory as error:
            if len(seq_lens) == 1:
                raise OutOfMemory(
                    f"a text of {len(input_ids)} tokens does not fit into the memory of the GPU: "
                    "leave it to this model alone, or export with a smaller --max-length"
                ) from error
            return self._halved(input_ids, seq_lens)

    embed_beside = embed

    def text_bytes(self, tokens: int) -> int:
        """Working memory of one text, padded to so many tokens, at most: a row of the grid.

        What is packed takes no more than the grid does. Attention keeps no scores; a mask or a bias
        of pairs is there once, or for each text.
        """
        return tokens * self._cell_bytes + tokens**2 * self._pair_bytes

    def working_mib(self, max_tokens: int) -> int:
        """What `Memory` should be given for micro-batches of so many tokens.

        Twice as many cells for each worker: texts of like length always fit, and those of unlike
        lengths are padded to twice their tokens at most. As much again for long texts, by turns.
        """
        share = 2 * max_tokens * self._cell_bytes
        return -(-2 * self.threads * share // 2**20)

    def _halved(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        ends = np.cumsum(seq_lens)
        texts = int(np.searchsorted(ends, len(input_ids) / 2))
        texts = min(max(texts, 1), len(seq_lens) - 1)
        tokens = int(ends[texts - 1])
        if not self._has_halved:  # a worker more or less may say it too
            self._has_halved = True
            log.warning(
                "the memory of the GPU ends at a micro-batch of %d tokens, which is halved: "
                "export with a smaller --micro-batch-tokens",
                len(input_ids),
            )
        try:
            halves = [
                self._run(input_ids[:tokens], seq_lens[:texts]),
                self._run(input_ids[tokens:], seq_lens[texts:]),
            ]
        except OutOfMemory as error:
            raise OutOfMemory(
                f"not even half a micro-batch of {len(input_ids)} tokens fits into the memory of "
                "the GPU: leave it to this model alone, or export with a smaller "
                "--micro-batch-tokens"
            ) from error
        return np.concatenate(halves)

    def _run(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """In as many turns as there are texts for."""
        most, texts = self._most_texts, len(seq_lens)
        if texts <= most:
            return self._run_once(input_ids, seq_lens)
        starts = np.concatenate([[0], np.cumsum(seq_lens)])
        turns = [
            self._run_once(
                input_ids[starts[first] : starts[min(first + most, texts)]],
                seq_lens[first : first + most],
            )
            for first in range(0, texts, most)
        ]
        return np.concatenate(turns)

    def _run_once(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """Raises: OutOfMemory, DeviceLost"""
        feeds = self._feeder.feeds(input_ids, seq_lens)
        try:
            embeddings: Embeddings = self._session.run(["EMBEDDING"], feeds)[0]
        except Exception as error:
            _raise_from(error)
            raise
        return embeddings


def _raise_from(error: Exception) -> None:
    """What onnxruntime only says in words."""
    told = str(error)
    failure = re.search(r"CUDA (?:failure|error) (\d+)", told)
    if failure and int(failure[1]) in _LOST:
        raise DeviceLost(told) from error
    if _NO_MEMORY.search(told):
        raise OutOfMemory(told) from error
    if "no kernel image is available" in told:
        raise RuntimeError(
            f"onnxruntime-gpu {onnxruntime.__version__} has no code for this GPU, neither for its "
            "compute capability nor to be compiled for it: use another GPU or another onnxruntime"
        ) from error


def warm_up(encoder: GpuEncoder, text: Ids, max_tokens: int) -> None:
    """Run as many tokens as a micro-batch has, then one text.

    So the memory of most micro-batches is had, and kernels are loaded, before anybody waits.

    text  (T,) ids, repeated as needed
    """
    texts = max(max_tokens // len(text), 1)
    encoder.embed(np.tile(text, texts), np.full(texts, len(text), dtype=np.int32))
    encoder.embed(text, np.array([len(text)], dtype=np.int32))
