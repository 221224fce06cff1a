"""Triton's encoder step on a CPU: INPUT_IDS, SEQ_LENS → EMBEDDING, with onnxruntime inside.

`execute` only takes requests in; the batcher's workers answer each when its texts are done.
Nothing waits in Triton's queue, so texts of different callers share micro-batches at any moment.
"""

from __future__ import annotations  # Triton's requests have a type only while it serves

import json
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from integrity import check_step
from numpy.typing import NDArray

check_step(Path(__file__).parent, "encoder")  # before anything else of this folder runs

from batching import Batcher  # noqa: E402
from inference import CpuEncoder  # noqa: E402
from memory import Memory  # noqa: E402


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        settings = {key: value["string_value"] for key, value in parameters.items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        encoder = CpuEncoder(
            folder / "model.onnx",
            int(settings["threads"]),
            settings["precision"],
            spinning=settings["spinning"] == "true",
        )
        memory = Memory(encoder.text_bytes, encoder.threads, int(settings["memory_mib"]))
        self.batcher = Batcher(encoder, int(settings["micro_batch_tokens"]), memory)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        senders = [request.get_response_sender() for request in requests]
        for request, sender in zip(requests, senders, strict=True):
            try:
                embeddings = self.batcher.submit(*_read(request))
            except Exception as error:  # one bad request must not fail its neighbours
                _send(sender, _failure(error))
            else:
                embeddings.add_done_callback(partial(_answer, sender))

    def finalize(self) -> None:
        self.batcher.close()


def _read(request: pb_utils.InferenceRequest) -> tuple[NDArray[Any], NDArray[Any]]:
    """(T,) token ids and (N,) lengths of one request, without their batch dimension."""
    tensors = (pb_utils.get_input_tensor_by_name(request, x) for x in ("INPUT_IDS", "SEQ_LENS"))
    input_ids, seq_lens = (tensor.as_numpy()[0] for tensor in tensors)
    return input_ids, seq_lens


def _answer(sender: pb_utils.InferenceResponseSender, embeddings: Future[NDArray[Any]]) -> None:
    error = embeddings.exception()
    _send(sender, _failure(error) if error else _response(embeddings.result()))


def _response(embeddings: NDArray[Any]) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDING", embeddings[np.newaxis])])


def _failure(error: BaseException) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"encoder: {error}"))


def _send(sender: pb_utils.InferenceResponseSender, response: pb_utils.InferenceResponse) -> None:
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
