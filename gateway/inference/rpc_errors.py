"""gRPC's errors → ours: the one table, with Triton's texts where a status is not enough."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from gateway.errors import (
    ContractMismatch,
    InferenceFailed,
    InputTooLong,
    NotFinite,
    Overloaded,
    TritonTimeout,
    TritonUnavailable,
    UpstreamError,
)

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
INPUT_TOO_LONG = "INPUT_TOO_LONG"

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
def map_rpc_errors() -> Iterator[None]:
    """Turns gRPC's errors into ours, chained.

    Raises: UpstreamError, InputTooLong.
    """
    try:
        yield
    except grpc.RpcError as error:
        details = error.details() or ""
        if INPUT_TOO_LONG in details:
            raise _read_overflows(details) from error
        kind = classify(error.code(), details)
        raise kind(MESSAGES[kind]) from error


def classify(code: grpc.StatusCode, details: str) -> type[UpstreamError]:
    """The error class for a gRPC status."""
    for other, text, kind in ERRORS_BY_TEXT:
        if code == other and text in details:
            return kind
    return ERRORS_BY_CODE[code]


def _read_overflows(details: str) -> InputTooLong | ContractMismatch:
    try:
        report, _ = json.JSONDecoder().raw_decode(details.split(INPUT_TOO_LONG, 1)[1].lstrip())
        overflows = {item["index"]: item["length"] for item in report["overflows"]}
        return InputTooLong(report["max_length"], overflows)
    except (ValueError, KeyError, TypeError):
        return ContractMismatch(MESSAGES[ContractMismatch])
