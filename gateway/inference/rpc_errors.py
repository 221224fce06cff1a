"""gRPC's errors → ours: the one table, with Triton's texts where a status is not enough."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from gateway.errors import (
    ClientError,
    ContractMismatch,
    DimensionsNotSupported,
    InferenceFailed,
    InputTooLong,
    InvalidDimensions,
    NotFinite,
    Overloaded,
    TritonTimeout,
    TritonUnavailable,
    UpstreamError,
)
from gateway.inference.embedder import EmbeddingCall

# Statuses as in Triton's src/grpc/grpc_utils.cc, CodeToStatus; the rest is made by gRPC itself.
ERRORS_BY_CODE: dict[grpc.StatusCode, type[UpstreamError]] = {
    grpc.StatusCode.CANCELLED: TritonUnavailable,
    grpc.StatusCode.UNKNOWN: InferenceFailed,
    grpc.StatusCode.INVALID_ARGUMENT: ContractMismatch,
    grpc.StatusCode.DEADLINE_EXCEEDED: TritonTimeout,
    grpc.StatusCode.NOT_FOUND: TritonUnavailable,  # "has no available versions": it stops or loads
    grpc.StatusCode.ALREADY_EXISTS: ContractMismatch,
    grpc.StatusCode.PERMISSION_DENIED: ContractMismatch,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.FAILED_PRECONDITION: ContractMismatch,
    grpc.StatusCode.ABORTED: TritonUnavailable,
    grpc.StatusCode.OUT_OF_RANGE: ContractMismatch,
    grpc.StatusCode.UNIMPLEMENTED: ContractMismatch,
    grpc.StatusCode.INTERNAL: InferenceFailed,
    grpc.StatusCode.UNAVAILABLE: TritonUnavailable,
    grpc.StatusCode.DATA_LOSS: InferenceFailed,
    grpc.StatusCode.UNAUTHENTICATED: ContractMismatch,
}

# Where the code is not enough, the text decides.
ERRORS_BY_TEXT: tuple[tuple[grpc.StatusCode, str, type[UpstreamError]], ...] = (
    # core/src/scheduler_utils.cc, PolicyQueue::Enqueue
    (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", Overloaded),
    # core/src/dynamic_batch_scheduler.cc
    (grpc.StatusCode.UNAVAILABLE, "Request timeout expired", TritonTimeout),
    # python_backend/src/python_be.cc: the step's process died and is started again
    (grpc.StatusCode.INTERNAL, "is not healthy", TritonUnavailable),
    # model_repository/README.md
    (grpc.StatusCode.INTERNAL, "NOT_FINITE", NotFinite),
)
# How the tokenizer step is named in what it says and in what is said of it: its errors are those of
# a library that has a text before it. The other steps see numbers only.
TOKENIZER = "tokenizer"
MAX_REASON_CHARACTERS = 300
# Of a model that is unloaded, and of every model of a Triton that ends.
STOPPED = "scheduler for model has stopped"
# core/src/infer_request.cc, InferenceRequest::Normalize: "expected 4 inputs but got 5 inputs for
# model 'm'. Got input(s) ['DIMENSIONS','FORMATS', …", which names inputs in quotes.
NO_FORMATS = "'FORMATS'"
# What a step refuses because of what the caller asked for; a report in JSON follows.
INPUT_TOO_LONG = "INPUT_TOO_LONG"
DIMENSIONS_REFUSED = "DIMENSIONS_REFUSED"

# What callers are told: our words, never Triton's.
MESSAGES: dict[type[UpstreamError], str] = {
    ContractMismatch: "the inference server refused the request",
    InferenceFailed: "inference failed",
    NotFinite: "the model gave no finite embedding for one of the texts",
    Overloaded: "the inference server's queue is full",
    TritonTimeout: "the inference server did not answer in time",
    TritonUnavailable: "the inference server is not ready",
}


@contextmanager
def map_rpc_errors(call: EmbeddingCall | None = None) -> Iterator[None]:
    """Turns gRPC's errors into ours, chained.

    call  whose texts or options may be refused

    Raises: UpstreamError, InputTooLong, InvalidDimensions, DimensionsNotSupported.
    """
    try:
        yield
    except grpc.RpcError as error:
        details = error.details() or ""
        if call is not None and (refusal := _read_refusal(details, call)):
            raise refusal from error
        kind = classify(error.code(), details)
        failure = kind(MESSAGES[kind])
        failure.reason = f"{error.code().name}: {cut_texts(details)}"
        raise failure from error


def classify(code: grpc.StatusCode, details: str) -> type[UpstreamError]:
    """The error class for a gRPC status."""
    for other, text, kind in ERRORS_BY_TEXT:
        if code == other and text in details:
            return kind
    return ERRORS_BY_CODE[code]


def is_about_formats(error: grpc.RpcError) -> bool:
    """Whether a Triton refuses the tensor FORMATS, as its model has none."""
    return error.code() == grpc.StatusCode.INVALID_ARGUMENT and NO_FORMATS in (
        error.details() or ""
    )


def cut_texts(details: str) -> str:
    """Triton's words up to where the one step begins to speak that sees texts, at most 300."""
    head, speaker, _ = details.partition(TOKENIZER)
    words = " ".join(f"{head}{speaker}".split())[:MAX_REASON_CHARACTERS]
    return f"{words} …" if speaker else words


def is_of_one_model(error: UpstreamError) -> bool:
    """Whether a TritonUnavailable is about one model, and others of the same Triton may be well."""
    cause = error.__cause__
    if not isinstance(cause, grpc.RpcError):
        return False
    return cause.code() != grpc.StatusCode.UNAVAILABLE or STOPPED in (cause.details() or "")


def _read_refusal(details: str, call: EmbeddingCall) -> ClientError | ContractMismatch | None:
    """What the caller is told of a step's refusal, if that is what the details report."""
    for word, read in ((INPUT_TOO_LONG, _read_overflows), (DIMENSIONS_REFUSED, _read_dimensions)):
        if word in details:
            try:
                report, _ = json.JSONDecoder().raw_decode(details.split(word, 1)[1].lstrip())
                return read(report, call)
            except (ValueError, KeyError, TypeError):
                return ContractMismatch(MESSAGES[ContractMismatch])
    return None


def _read_overflows(report: Any, call: EmbeddingCall) -> ClientError:
    overflows = {item["index"]: item["length"] for item in report["overflows"]}
    return InputTooLong(report["max_length"], overflows)


def _read_dimensions(report: Any, call: EmbeddingCall) -> ClientError:
    asked, native = call.dimensions, int(report["native"])
    if asked is None:
        raise ValueError("nothing was asked for")
    if 1 <= asked < native and not report["matryoshka"]:
        return DimensionsNotSupported(call.model, native)
    return InvalidDimensions(asked, native)
