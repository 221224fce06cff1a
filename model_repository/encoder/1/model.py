"""Triton's encoder step: INPUT_IDS, SEQ_LENS → EMBEDDING, with onnxruntime inside.

`execute` only takes requests in; the batcher's workers answer each when its texts are done.
Nothing waits in Triton's queue, so texts of different callers share micro-batches at any moment.
"""

from __future__ import annotations  # Triton's requests have a type only while it serves

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from integrity import LISTING, check_step, edition_of
from numpy.typing import NDArray

check_step(Path(__file__).parent, "encoder")  # before anything else of this folder runs

from batching import Batcher  # noqa: E402
from inference import (  # noqa: E402
    CANARY,
    Canary,
    CpuEncoder,
    GpuTarget,
    open_on_cpu,
    open_on_gpu,
    warm_up,
)
from memory import Memory  # noqa: E402


class Answer:
    """To one request, sent by whoever knows it."""

    __slots__ = ("_sender",)

    def __init__(self, sender: pb_utils.InferenceResponseSender) -> None:
        self._sender = sender

    def set_result(self, embeddings: NDArray[Any], /) -> None:
        tensor = pb_utils.Tensor("EMBEDDING", embeddings[np.newaxis])
        self._send(pb_utils.InferenceResponse([tensor]))

    def set_exception(self, error: Exception, /) -> None:
        failure = pb_utils.TritonError(f"encoder: {error}")
        self._send(pb_utils.InferenceResponse(error=failure))

    def _send(self, response: pb_utils.InferenceResponse) -> None:
        self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        settings = {key: value["string_value"] for key, value in parameters.items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        max_tokens = int(settings["micro_batch_tokens"])
        limit_mib = int(settings["memory_mib"])
        canary = Canary(folder / CANARY)
        encoder: CpuEncoder | GpuTarget
        if settings["target"] == "cpu":
            encoder = open_on_cpu(folder, settings)
        else:
            listing = (folder / LISTING).read_bytes()
            number, edition = int(args["model_instance_device_id"]), edition_of(listing)
            encoder = open_on_gpu(folder, settings, number, edition)
            pb_utils.Logger.log_info(f"encoder: on GPU {number}, {encoder.device}")
            warm_up(encoder, max(canary.rows, key=len), max_tokens)
            limit_mib = limit_mib or encoder.working_mib(max_tokens)
        cosine = canary.check(encoder)
        pb_utils.Logger.log_info(f"encoder: the canary texts have cosine {cosine:.7f}")
        memory = Memory(encoder.text_bytes, encoder.threads, limit_mib)
        self.batcher = Batcher(encoder, max_tokens, memory)
        # What is here by now stays: to look through it takes 8 ms, in which no worker runs.
        gc.freeze()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        answers = [Answer(request.get_response_sender()) for request in requests]
        for request, answer in zip(requests, answers, strict=True):
            try:
                self.batcher.submit_for(answer, *_read(request))
            except Exception as error:  # one bad request must not fail its neighbours
                answer.set_exception(error)

    def finalize(self) -> None:
        self.batcher.close()


def _read(request: pb_utils.InferenceRequest) -> tuple[NDArray[Any], NDArray[Any]]:
    """(T,) token ids and (N,) lengths of one request, without their batch dimension."""
    tensors = (pb_utils.get_input_tensor_by_name(request, x) for x in ("INPUT_IDS", "SEQ_LENS"))
    input_ids, seq_lens = (tensor.as_numpy()[0] for tensor in tensors)
    return input_ids, seq_lens
