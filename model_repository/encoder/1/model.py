"""Triton's encoder step on a CPU: INPUT_IDS, SEQ_LENS → EMBEDDING, with onnxruntime inside.

All requests of a dynamic batch are taken together, so that texts of like length from different
callers share a micro-batch.
"""

from __future__ import annotations  # Triton's requests have a type only while it serves

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from inference import CpuEncoder
from integrity import check_files
from microbatching import encode_in_micro_batches
from numpy.typing import NDArray


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        settings = {key: value["string_value"] for key, value in parameters.items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        check_files(folder, json.loads(settings["sha256"]))
        self.max_tokens = int(settings["micro_batch_tokens"])
        self.encoder = CpuEncoder(
            folder / "model.onnx", int(settings["threads"]), settings["precision"]
        )

    def execute(
        self, requests: list[pb_utils.InferenceRequest]
    ) -> list[pb_utils.InferenceResponse]:
        batch = [_read(request) for request in requests]
        try:
            embeddings = encode_in_micro_batches(
                self.encoder.encode_all,
                np.concatenate([input_ids for input_ids, _ in batch]),
                np.concatenate([seq_lens for _, seq_lens in batch]),
                self.max_tokens,
                self.encoder.threads,
            )
        except Exception as error:  # the requests of a batch fail together, the server lives
            return [_failure(error) for _ in requests]
        ends = np.cumsum([len(seq_lens) for _, seq_lens in batch])
        return [_response(rows) for rows in np.split(embeddings, ends[:-1])]


def _read(request: pb_utils.InferenceRequest) -> tuple[NDArray[Any], NDArray[Any]]:
    """(T,) token ids and (N,) lengths of one request, without their batch dimension."""
    tensors = (pb_utils.get_input_tensor_by_name(request, x) for x in ("INPUT_IDS", "SEQ_LENS"))
    input_ids, seq_lens = (tensor.as_numpy()[0] for tensor in tensors)
    return input_ids, seq_lens


def _response(embeddings: NDArray[Any]) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDING", embeddings[np.newaxis])])


def _failure(error: Exception) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"encoder: {error}"))
