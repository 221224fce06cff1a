"""Triton's tokenizer step: TEXT, TRUNCATION → INPUT_IDS, SEQ_LENS.

What takes less than handing it over is answered at once. Everything else goes to workers, which
answer each request when it is done: so a query does not wait for the long texts before it.
"""

from __future__ import annotations  # Triton's requests have a type only while it serves

import json
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import triton_python_backend_utils as pb_utils
from integrity import check_step

check_step(Path(__file__).parent, "tokenizer")  # before anything else of this folder runs

from tokenization import InputTooLong, Packed, PackedTokenizer, are_short  # noqa: E402
from turns import Workers  # noqa: E402


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        settings = {key: value["string_value"] for key, value in parameters.items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        self.tokenizer = PackedTokenizer(
            folder / "tokenizer.json",
            int(settings["max_length"]),
            windows=settings["windows"] == "true",
            segments_mib=int(settings["segments_mib"]),
        )
        self.workers = Workers()

    def execute(
        self, requests: list[pb_utils.InferenceRequest]
    ) -> list[pb_utils.InferenceResponse] | None:
        calls = [_read(request) for request in requests]
        if all(are_short(texts) for texts, _ in calls):
            return [self.answer(*call) for call in calls]
        senders = [request.get_response_sender() for request in requests]
        for call, sender in zip(calls, senders, strict=True):
            packed = self.workers.submit(self.tokenizer.slices(*call))
            packed.add_done_callback(partial(_send, sender))
        return None

    def answer(self, texts: list[bytes], truncation: int) -> pb_utils.InferenceResponse:
        try:
            return _response(self.tokenizer.tokenize(texts, truncation))
        except Exception as error:  # one bad request must not fail its neighbours
            return _failure(error)

    def finalize(self) -> None:
        self.workers.close()


def _read(request: pb_utils.InferenceRequest) -> tuple[list[bytes], int]:
    """The texts in UTF-8 of one request, and how to cut them."""
    texts, truncation = (
        pb_utils.get_input_tensor_by_name(request, name).as_numpy()
        for name in ("TEXT", "TRUNCATION")
    )
    return texts.tolist(), int(truncation[0])


def _send(sender: pb_utils.InferenceResponseSender, packed: Future[Packed]) -> None:
    error = packed.exception()
    response = _failure(error) if error else _response(packed.result())
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _response(packed: Packed) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(*tensor) for tensor in zip(("INPUT_IDS", "SEQ_LENS"), packed, strict=True)]
    )


def _failure(error: BaseException) -> pb_utils.InferenceResponse:
    if isinstance(error, InputTooLong):
        overflows = [{"index": index, "length": length} for index, length in error.overflows]
        details = json.dumps({"max_length": error.max_length, "overflows": overflows})
        return _refusal(f"INPUT_TOO_LONG {details}", pb_utils.TritonError.INVALID_ARG)
    return _refusal(f"tokenizer: {error}", pb_utils.TritonError.INTERNAL)


def _refusal(message: str, code: int) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
