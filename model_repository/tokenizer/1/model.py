"""Triton's tokenizer step: TEXT, TRUNCATION → INPUT_IDS, SEQ_LENS."""

from __future__ import annotations  # Triton's requests have a type only while it serves

import json
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from integrity import check_step
from numpy.typing import NDArray

check_step(Path(__file__).parent, "tokenizer")  # before anything else of this folder runs

from tokenization import InputTooLong, PackedTokenizer  # noqa: E402


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        settings = {key: value["string_value"] for key, value in parameters.items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        max_length = int(settings["max_length"])
        self.tokenizer = PackedTokenizer(folder / "tokenizer.json", max_length)

    def execute(
        self, requests: list[pb_utils.InferenceRequest]
    ) -> list[pb_utils.InferenceResponse]:
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        try:
            input_ids, seq_lens = self.tokenize(request)
        except InputTooLong as error:
            return _refusal(f"INPUT_TOO_LONG {_details(error)}", pb_utils.TritonError.INVALID_ARG)
        except Exception as error:  # one bad request must not fail its neighbours
            return _refusal(f"tokenizer: {error}", pb_utils.TritonError.INTERNAL)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor("INPUT_IDS", input_ids), pb_utils.Tensor("SEQ_LENS", seq_lens)]
        )

    def tokenize(self, request: pb_utils.InferenceRequest) -> tuple[NDArray[Any], NDArray[Any]]:
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
        truncation = pb_utils.get_input_tensor_by_name(request, "TRUNCATION").as_numpy()
        return self.tokenizer.tokenize([text.decode() for text in texts], int(truncation[0]))


def _details(error: InputTooLong) -> str:
    overflows = [{"index": index, "length": length} for index, length in error.overflows]
    return json.dumps({"max_length": error.max_length, "overflows": overflows})


def _refusal(message: str, code: int) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
