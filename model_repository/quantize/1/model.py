"""Triton's quantize step: EMBEDDING, DIMENSIONS, NORMALIZED, FORMATS → those formats, WIDTH."""

from __future__ import annotations  # Triton's requests have a type only while it serves

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from integrity import check_step
from numpy.typing import NDArray

check_step(Path(__file__).parent, "quantize")  # before anything else of this folder runs

from quantization import (  # noqa: E402
    DimensionsRefused,
    FormatsRefused,
    quantize,
    read_formats,
    resolve_dimensions,
)


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        self.matryoshka = parameters["matryoshka"]["string_value"] == "true"

    def execute(
        self, requests: list[pb_utils.InferenceRequest]
    ) -> list[pb_utils.InferenceResponse]:
        return [self.answer(request) for request in requests]

    def answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        try:
            outputs = self.quantize(request)
        except DimensionsRefused as error:
            message = f"DIMENSIONS_REFUSED {json.dumps(error.details)}"
            return _failure(message, pb_utils.TritonError.INVALID_ARG)
        except FormatsRefused as error:
            message = f"FORMATS_REFUSED {json.dumps(error.details)}"
            return _failure(message, pb_utils.TritonError.INVALID_ARG)
        except FloatingPointError as error:
            return _failure(f"NOT_FINITE {error}", pb_utils.TritonError.INTERNAL)
        except Exception as error:  # one bad request must not fail its neighbours
            return _failure(f"quantize: {error}", pb_utils.TritonError.INTERNAL)
        tensors = [pb_utils.Tensor(name, array) for name, array in outputs.items()]
        return pb_utils.InferenceResponse(tensors)

    def quantize(self, request: pb_utils.InferenceRequest) -> dict[str, NDArray[Any]]:
        embeddings, dimensions, normalized = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in ("EMBEDDING", "DIMENSIONS", "NORMALIZED")
        )
        d = resolve_dimensions(int(dimensions[0]), embeddings.shape[1], self.matryoshka)
        return quantize(embeddings, d, bool(normalized[0]), _wanted(request))


def _wanted(request: pb_utils.InferenceRequest) -> Iterable[str]:
    """The outputs to compute.

    FORMATS is optional. Without it they are those that the request names, and an ensemble names
    all of them, whatever its own client wants.
    """
    formats = pb_utils.get_input_tensor_by_name(request, "FORMATS")
    if formats is None:
        return request.requested_output_names()
    return (*read_formats(int(formats.as_numpy()[0])), "WIDTH")


def _failure(message: str, code: int) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
