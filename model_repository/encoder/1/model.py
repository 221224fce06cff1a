"""Triton's encoder step on a CPU: INPUT_IDS, SEQ_LENS → EMBEDDING, with onnxruntime inside.

All requests of a dynamic batch are taken together, so that texts of like length from different
callers share a micro-batch.
"""

from __future__ import annotations  # Triton's requests have a type only while it serves

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from integrity import check_files
from microbatching import encode_in_micro_batches


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        settings = {key: value["string_value"] for key, value in parameters.items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        check_files(folder, json.loads(settings["sha256"]))
        self.max_tokens = int(settings["micro_batch_tokens"])
        self.session = _session(folder / "model.onnx", settings)

    def execute(
        self, requests: list[pb_utils.InferenceRequest]
    ) -> list[pb_utils.InferenceResponse]:
        batch = [_read(request) for request in requests]
        try:
            embeddings = encode_in_micro_batches(
                self.encode,
                np.concatenate([input_ids for input_ids, _ in batch]),
                np.concatenate([seq_lens for _, seq_lens in batch]),
                self.max_tokens,
            )
        except Exception as error:  # the requests of a batch fail together, the server lives
            return [_failure(error) for _ in requests]
        ends = np.cumsum([len(seq_lens) for _, seq_lens in batch])
        return [_response(rows) for rows in np.split(embeddings, ends[:-1])]

    def encode(self, input_ids: np.ndarray, seq_lens: np.ndarray) -> np.ndarray:
        feeds = {"INPUT_IDS": input_ids, "SEQ_LENS": seq_lens}
        return self.session.run(["EMBEDDING"], feeds)[0]


def _session(path: Path, settings: dict[str, str]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(settings["intra_op_threads"])
    options.add_session_config_entry("session.intra_op.allow_spinning", settings["spinning"])
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _read(request: pb_utils.InferenceRequest) -> tuple[np.ndarray, np.ndarray]:
    """(T,) token ids and (N,) lengths of one request, without their batch dimension."""
    tensors = (pb_utils.get_input_tensor_by_name(request, x) for x in ("INPUT_IDS", "SEQ_LENS"))
    input_ids, seq_lens = (tensor.as_numpy()[0] for tensor in tensors)
    return input_ids, seq_lens


def _response(embeddings: np.ndarray) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDING", embeddings[np.newaxis])])


def _failure(error: Exception) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"encoder: {error}"))
