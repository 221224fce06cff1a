"""The errors of the gateway, drawn; each class carries its place in the contract's table.

GatewayError
├─ ClientError                the caller can fix it
│  ├─ MalformedBody        400  not UTF-8 JSON, not an object
│  ├─ MalformedRequest     400  not HTTP
│  ├─ UndecodableBody      400  not what its Content-Encoding says
│  ├─ Unauthorized         401  no key, or an unknown one; KeyExpired
│  ├─ Forbidden            403  the key is not for this model
│  ├─ NotFound             404  NoSuchRoute, ModelNotFound (GET only); MethodNotAllowed 405
│  ├─ BodyTooLarge         413
│  ├─ UnsupportedEncoding  415  a Content-Encoding that is not read here
│  ├─ InvalidField         422  wrong type or out of bounds; MissingField 422
│  ├─ UnknownModel         422  AmbiguousModel 422: several models answer to the name
│  ├─ InvalidDimensions    422  out of range; DimensionsNotSupported 422
│  ├─ InputTooLong         422  `truncation_strategy: none`; carries every offending index
│  ├─ RateLimited          429  the key's own limit; Retry-After; AboveLimit: it never fits
│  └─ HungUp               499  nobody is left to read the answer
└─ UpstreamError              the caller can only retry
   ├─ Overloaded           429  own admission limit, or Triton's queue is full; Retry-After
   ├─ TritonUnavailable    503  no connection, not ready; Retry-After; ModelReplaced 503
   ├─ LimitsAway           503  Redis does not count; Retry-After
   ├─ TritonTimeout        504  deadline passed here or in Triton's queue
   ├─ InferenceFailed      500  a step raised; NotFinite 500
   └─ ContractMismatch     500  Triton refuses what we consider valid: our bug, logged loudly
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import ClassVar

# Above it the strictest SDK ignores Retry-After.
LONGEST_RETRY_AFTER_SECONDS = 30

Details = Mapping[str, object] | Sequence[Mapping[str, object]]


class GatewayError(Exception):
    """Anything a caller is told about; unexpected exceptions are rendered as this class."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    openai_type: ClassVar[str] = "server_error"
    param: str | None = None
    # For the operator's log and never for callers: why, and nothing that a caller sent.
    reason: str = ""
    # A 500 that the same request would meet again says so; the SDKs retry the others.
    deterministic: ClassVar[bool] = False

    def __init__(self, message: str, details: Details | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: Details = {} if details is None else details

    @property
    def headers(self) -> dict[str, str]:
        return {"x-should-retry": "false"} if self.deterministic else {}


class ClientError(GatewayError):
    """The caller can fix it."""

    openai_type = "invalid_request_error"


class MalformedBody(ClientError):
    """The body is not one JSON object in UTF-8."""

    status, type, code = 400, "bad_request_error", "invalid_json"


class MalformedRequest(ClientError):
    """The bytes are no HTTP request, or one with too much before its body."""

    status, type, code = 400, "bad_request_error", "invalid_http"


class UndecodableBody(ClientError):
    """The body is not what its Content-Encoding says, or ends too early."""

    status, type, code = 400, "bad_request_error", "invalid_encoding"


class Unauthorized(ClientError):
    """No API key, or an unknown one; which of the two is not said."""

    status, type, code = 401, "unauthorized_error", "invalid_api_key"
    openai_type = "authentication_error"

    def __init__(
        self, message: str = "a valid API key is required in the Authorization header"
    ) -> None:
        super().__init__(message)

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class KeyExpired(Unauthorized):
    """A known API key after its time: who has it may know.

    since  the moment, as ISO 8601
    """

    code = "expired_api_key"

    def __init__(self, since: str) -> None:
        super().__init__(f"this API key expired at {since}")


class Forbidden(ClientError):
    """The API key is not for this model."""

    status, type, code = 403, "forbidden_error", "forbidden"
    openai_type = "permission_error"

    def __init__(self, model: str) -> None:
        super().__init__(f"this API key is not for the model {model!r}; GET /v1/models lists its")


class NotFound(ClientError):
    """No such route."""

    status, type, code = 404, "not_found_error", "not_found"
    openai_type = "not_found_error"


class NoSuchRoute(NotFound):
    """Neither this path nor one that a client plainly means.

    routes  those that exist, `METHOD /path` each, the nearest first
    """

    def __init__(self, method: str, path: str, routes: Sequence[str]) -> None:
        super().__init__(
            f"there is no {method} {path} here; there is {', '.join(routes)}",
            {"method": method, "path": path, "routes": list(routes)},
        )


class ModelNotFound(NotFound):
    """`GET /v1/models/{id}` for a model that is not served."""

    code = "model_not_found"


class MethodNotAllowed(ClientError):
    """The route exists for other methods."""

    status, type, code = 405, "method_not_allowed_error", "method_not_allowed"

    def __init__(self, allowed: str, hint: str = "") -> None:
        super().__init__(f"this route answers {allowed} only{hint}")
        self.allowed = allowed

    @property
    def headers(self) -> dict[str, str]:
        return {"Allow": self.allowed}


class BodyTooLarge(ClientError):
    """The body is above the size cap."""

    status, type, code = 413, "payload_too_large_error", "payload_too_large"

    def __init__(self, max_bytes: int, what: str = "the body is") -> None:
        super().__init__(f"{what} above the limit of {max_bytes} bytes", {"max_bytes": max_bytes})


class UnsupportedEncoding(ClientError):
    """The Content-Encoding is not one that is read here."""

    status, type, code = 415, "unsupported_media_type_error", "unsupported_encoding"

    def __init__(self, encoding: str, supported: Sequence[str]) -> None:
        super().__init__(
            f"a body of Content-Encoding {encoding[:60]!r} is not read here;"
            f" send {' or '.join(supported)}, one of them, or none",
            {"supported": list(supported)},
        )
        self.supported = supported

    @property
    def headers(self) -> dict[str, str]:
        return {"Accept-Encoding": ", ".join(self.supported)}


class InvalidField(ClientError):
    """A field has the wrong type or is out of bounds.

    location  the path inside the body, field name first, for example ("input", 3)
    """

    status, type, code = 422, "validation_error", "invalid_value"

    def __init__(self, message: str, *location: str | int) -> None:
        detail = {"type": self.code, "loc": ["body", *location], "msg": message}
        super().__init__(message, [detail])
        self.param = str(location[0])


class MissingField(InvalidField):
    """A required field is absent or null."""

    code = "missing"

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is required", field)


class UnknownModel(ClientError):
    """The model is not served here."""

    status, type, code = 422, "model_not_found_error", "model_not_found"
    param = "model"

    def __init__(self, model: str, available: Iterable[str]) -> None:
        served = sorted(available)
        super().__init__(
            f"model {model!r} is not served; available: {', '.join(served)}",
            {"model": model, "available": served},
        )


class AmbiguousModel(ClientError):
    """Several models answer to this name."""

    status, type, code = 422, "ambiguous_model_error", "ambiguous_model"
    param = "model"

    def __init__(self, model: str, candidates: Iterable[str]) -> None:
        ids = sorted(candidates)
        super().__init__(
            f"model {model!r} may be any of {', '.join(ids)}: send one of these",
            {"model": model, "candidates": ids},
        )


class InvalidDimensions(ClientError):
    """`dimensions` is outside 1 … native size."""

    status, type, code = 422, "invalid_matryoshka_dimensions_error", "invalid_dimensions"
    param = "dimensions"

    def __init__(self, dimensions: int, maximum: int) -> None:
        super().__init__(
            f"dimensions is {dimensions}, this model allows 1 to {maximum}",
            {"dimensions": dimensions, "min": 1, "max": maximum},
        )


class DimensionsNotSupported(ClientError):
    """The model was not trained for cut dimensions."""

    status, type, code = 422, "invalid_matryoshka_model_error", "dimensions_not_supported"
    param = "dimensions"

    def __init__(self, model: str, native: int) -> None:
        super().__init__(
            f"{model} was not trained for cut dimensions; leave dimensions out or send {native}",
            {"model": model, "dimensions": native},
        )


class InputTooLong(ClientError):
    """Texts above the model's limit under `truncation_strategy: none`.

    overflows  index of the text in the call → its tokens before truncation, specials included
    """

    status, type, code = 422, "truncation_error", "input_too_long"
    param = "input"

    def __init__(self, max_length: int, overflows: Mapping[int, int]) -> None:
        self.max_length = max_length
        self.overflows = dict(sorted(overflows.items()))
        items = [{"index": index, "length": length} for index, length in self.overflows.items()]
        super().__init__(
            f"{len(items)} of the texts are longer than {max_length} tokens",
            {"max_length": max_length, "overflows": items},
        )


class RateLimited(ClientError):
    """The key has used up one of its limits.

    what           requests or tokens
    limit          of them in a minute
    remaining      of them in this minute
    seconds        until the minute is over
    reset          the unix second when it is
    limit_headers  what every answer says of the limits
    """

    status, type, code = 429, "too_many_requests_error", "rate_limit_exceeded"
    openai_type = "rate_limit_error"

    def __init__(
        self,
        what: str,
        *,
        limit: int,
        remaining: int,
        seconds: float,
        reset: int,
        limit_headers: Mapping[str, str],
    ) -> None:
        retry_after = min(max(ceil(seconds), 1), LONGEST_RETRY_AFTER_SECONDS)
        super().__init__(
            f"this API key has used up its {limit} {what} a minute: {remaining} are left of them,"
            f" and all again in {ceil(seconds)} s",
            {
                "retry_after": retry_after,
                "limit": str(limit),
                "remaining": str(remaining),
                "reset": str(reset),
            },
        )
        self._headers = {"Retry-After": str(retry_after), **limit_headers}

    @property
    def headers(self) -> dict[str, str]:
        return self._headers


class AboveLimit(ClientError):
    """A call that is above the key's limit even by itself: to send it again does not help."""

    status, type, code = 429, "too_many_requests_error", "above_rate_limit"
    openai_type = "rate_limit_error"
    param = "input"
    deterministic = True

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(
            f"this call has about {tokens} tokens, more than the {limit} a minute of this API key:"
            " send fewer texts at a time",
            {"tokens": tokens, "limit": str(limit)},
        )


class HungUp(ClientError):
    """The client closed the connection; seen by the log and the metrics only."""

    status, type, code = 499, "client_closed_request_error", "client_closed_request"


class UpstreamError(GatewayError):
    """The caller can only retry."""

    # Seconds, 1 to 30: above 30 the strictest SDK ignores the header.
    retry_after: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        if self.retry_after is not None:
            return {"Retry-After": str(self.retry_after)}
        return super().headers


class Overloaded(UpstreamError):
    """More tokens are in flight than this gateway or Triton's queue takes."""

    status, type, code = 429, "too_many_requests_error", "overloaded"
    openai_type = "rate_limit_error"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message, {"retry_after": retry_after})
        self.retry_after = retry_after


class TritonUnavailable(UpstreamError):
    """No connection to Triton, or the model is not ready."""

    status, type, code = 503, "service_unavailable_error", "service_unavailable"
    retry_after = 2


class ModelReplaced(TritonUnavailable):
    """Two editions of a model answered parts of one call."""

    def __init__(self, message: str = "the model is being replaced") -> None:
        super().__init__(message)


class LimitsAway(UpstreamError):
    """Redis, which counts for the limits of keys, does not answer."""

    status, type, code = 503, "service_unavailable_error", "service_unavailable"
    retry_after = 2

    def __init__(self, message: str = "the limits of API keys cannot be counted now") -> None:
        super().__init__(message)


class TritonTimeout(UpstreamError):
    """The deadline passed, here or in Triton's queue."""

    status, type, code = 504, "timeout_error", "timeout"


class InferenceFailed(UpstreamError):
    """A step of the ensemble raised."""


class NotFinite(InferenceFailed):
    """The encoder gave NaN or infinity for one of the texts."""

    deterministic = True


class ContractMismatch(UpstreamError):
    """Triton refuses what the gateway considers valid, or answers in another shape."""

    deterministic = True
