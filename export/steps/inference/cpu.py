"""Embeddings by onnxruntime on the CPU."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Else onnxruntime reports to its maker, from its import on.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from .feeding import Feeder

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]

# onnxruntime's fused kernels loop over rows: for 512 tokens of 384 on one thread, 0.93 ms where
# Add and LayerNormalization take 0.16, and 0.73 ms where Add and Gelu take 0.63.
SLOWER_WHEN_FUSED = ["SkipLayerNormFusion", "BiasGeluFusion"]

# Without these, sums of two int8 products are cut at 16 bits, without a word.
INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}

# Most of what one run may leave with onnxruntime, which keeps what it once had: a run that needs
# more gives all of it back, for 1 to 3 % of its time.
KEPT_BYTES = 64 * 2**20


class CpuEncoder:
    """Two sessions on one file: one for micro-batches side by side, one for a lone one.

    Side by side there is no barrier after every operator: 18 % more tokens/s on two cores. Alone
    it would leave the other cores idle: a text of 64 tokens takes 9.5 ms instead of 5.7.
    """

    shares_device = False  # every worker has a core

    def __init__(
        self, path: Path, threads: int = 0, precision: str = "fp32", spinning: bool = True
    ) -> None:
        """Load model.onnx for a number of threads; 0 for every core this process may use.

        spinning  whether threads that wait for others within a run keep their cores busy

        Raises: RuntimeError if the processor cannot multiply int8 exactly.
        """
        if precision == "int8":
            check_processor()
        self.threads = threads or len(os.sched_getaffinity(0))
        self._alone = _session(path, self.threads, spinning)
        self._beside = _session(path, 1, spinning) if self.threads > 1 else self._alone
        noted = self._alone.get_modelmeta().custom_metadata_map  # by export/graph/footprint.py
        self._widest, self._heads = int(noted["widest"]), int(noted["heads"])
        self._block = int(noted["block"])
        self._feeder = Feeder(self._alone)

    def embed(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """(T,) int64 token ids and (N,) int32 lengths → (N, D) float32, on all threads."""
        return self._run(self._alone, input_ids, seq_lens)

    def embed_beside(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """The same on one thread; the caller has a thread for each that runs beside it."""
        return self._run(self._beside, input_ids, seq_lens)

    def text_bytes(self, tokens: int) -> int:
        """Working memory of one text, padded to so many tokens, at most.

        Of each token five float32 rows of the widest layer, three of which are needed at once and
        the others lost between them; of attention the scores twice, of all heads, or four times of
        one head and block where the text is longer than a block.
        """
        scores = 8 * self._heads * tokens if tokens <= self._block else 16 * self._block
        return tokens * (20 * self._widest + scores)

    def _run(
        self, session: onnxruntime.InferenceSession, input_ids: Ids, seq_lens: Lengths
    ) -> Embeddings:
        feeds = self._feeder.feeds(input_ids, seq_lens)
        options = None  # to make some takes a hundredth of a short text's time
        if len(seq_lens) * self.text_bytes(int(seq_lens.max())) > KEPT_BYTES:
            options = onnxruntime.RunOptions()
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        embeddings: Embeddings = session.run(["EMBEDDING"], feeds, options)[0]
        return embeddings


def check_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Raises: RuntimeError if the processor cannot multiply int8 exactly."""
    flags = cpuinfo.read_text(encoding="utf-8").split()
    if INT8_FLAGS.isdisjoint(flags):
        raise RuntimeError(
            "int8 needs a processor with VNNI or AMX: export the model with --precision fp32"
        )


def _session(path: Path, threads: int, spinning: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    # Its threads spin during a run, not after it: others want the cores then.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # A buffer that is planned to be used again is kept until its last use: that takes twice the
    # memory where rotary embeddings leave many values of one size, and is no faster.
    options.enable_mem_reuse = False
    return onnxruntime.InferenceSession(
        path,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=SLOWER_WHEN_FUSED,
    )
