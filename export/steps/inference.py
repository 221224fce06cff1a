"""model.onnx → embeddings of packed micro-batches, by onnxruntime on the CPU.

The exporter copies this file beside the encoder step's `model.py`, byte for byte.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Else onnxruntime reports to its maker, from its import on.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
Embeddings = NDArray[np.float32]

# onnxruntime's fused kernels loop over rows: for 512 tokens of 384 on one thread, 0.93 ms where
# Add and LayerNormalization take 0.16, and 0.73 ms where Add and Gelu take 0.63.
SLOWER_WHEN_FUSED = ["SkipLayerNormFusion", "BiasGeluFusion"]

# Without these, sums of two int8 products are cut at 16 bits, without a word.
INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}


class CpuEncoder:
    """Two sessions on one file: one for micro-batches side by side, one for a lone one.

    Side by side there is no barrier after every operator: 18 % more tokens/s on two cores. Alone
    it would leave the other cores idle: a text of 64 tokens takes 9.5 ms instead of 5.7.
    """

    def __init__(
        self, path: Path, threads: int = 0, precision: str = "fp32", spinning: bool = True
    ) -> None:
        """Load model.onnx for a number of threads; 0 for every core this process may use.

        spinning  whether threads that wait for others within a run keep their cores busy

        Raises: RuntimeError if the processor cannot multiply int8 exactly.
        """
        if precision == "int8":
            _check_processor()
        self.threads = threads or len(os.sched_getaffinity(0))
        self._alone = _session(path, self.threads, spinning)
        self._beside = _session(path, 1, spinning) if self.threads > 1 else self._alone

    def embed(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """(T,) int64 token ids and (N,) int32 lengths → (N, D) float32, on all threads."""
        return _run(self._alone, input_ids, seq_lens)

    def embed_beside(self, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
        """The same on one thread; the caller has a thread for each that runs beside it."""
        return _run(self._beside, input_ids, seq_lens)


def _check_processor() -> None:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
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
    return onnxruntime.InferenceSession(
        path,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=SLOWER_WHEN_FUSED,
    )


def _run(session: onnxruntime.InferenceSession, input_ids: Ids, seq_lens: Lengths) -> Embeddings:
    feeds = {"INPUT_IDS": input_ids, "SEQ_LENS": seq_lens}
    embeddings: Embeddings = session.run(["EMBEDDING"], feeds)[0]
    return embeddings
