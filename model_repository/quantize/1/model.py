"""Triton's quantize step: EMBEDDING, DIMENSIONS, NORMALIZED → the formats that were asked for."""

from __future__ import annotations  # Triton's requests have a type only while it serves

from typing import Any

import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from quantization import quantize


class TritonPythonModel:
    def execute(
        self, requests: list[pb_utils.InferenceRequest]
    ) -> list[pb_utils.InferenceResponse]:
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        try:
            outputs = quantize(
                _read(request, "EMBEDDING"),
                int(_read(request, "DIMENSIONS")[0]),
                bool(_read(request, "NORMALIZED")[0]),
                request.requested_output_names(),
            )
        except FloatingPointError as error:
            return _failure(f"NOT_FINITE {error}")
        except Exception as error:  # one bad request must not fail its neighbours
            return _failure(f"quantize: {error}")
        tensors = [pb_utils.Tensor(name, array) for name, array in outputs.items()]
        return pb_utils.InferenceResponse(tensors)


def _read(request: pb_utils.InferenceRequest, name: str) -> NDArray[Any]:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()


def _failure(message: str) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message))
