"""Embeddings by onnxruntime's CUDA provider."""

from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from .device import CannotUseGpu, find_device
from .gpu import WORKERS, GpuEncoder

PROVIDER = "CUDAExecutionProvider"


class CudaEncoder(GpuEncoder):
    """On one GPU, all of it there and nothing on the CPU."""

    def __init__(
        self, path: Path, number: int = 0, precision: str = "fp16", threads: int = WORKERS
    ) -> None:
        """Load model.onnx.

        number  of the GPU, among those that this process sees

        Raises: CannotUseGpu if something is missing.
        """
        self.device = find_device(number, PROVIDER)
        super().__init__(open_session(path, PROVIDER, provider_options(number)), precision, threads)


def provider_options(number: int) -> dict[str, str]:
    """Of the CUDA provider."""
    return {
        "device_id": str(number),
        # The other strategy, kSameAsRequested, grows with the number of different shapes: after 40
        # of them 1411 MB of a BERT-base where this one stays at 1024, tests/fake_cuda.
        "arena_extend_strategy": "kNextPowerOfTwo",
        "use_tf32": "0",  # ten bits of a product are no fp32
    }


def open_session(
    path: Path, provider: str, options: Mapping[str, str]
) -> onnxruntime.InferenceSession:
    """A session of which every node runs by one provider.

    Raises: CannotUseGpu if the provider is not there.
    """
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = 1
    session_options.enable_mem_pattern = False  # which are kept of every shape
    session_options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = onnxruntime.InferenceSession(
        path,
        session_options,
        providers=[(provider, dict(options))],
        enable_fallback=0,  # neither now nor when a run fails
    )
    if provider not in session.get_providers():
        raise CannotUseGpu(
            f"onnxruntime did not take its {provider}, and says why in the lines before this one"
        )
    return session
