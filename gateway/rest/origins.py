"""Browsers: which pages of other origins may call this service (CORS)."""

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp

ORIGINS_HINT = "; pages of other origins may call it if GATEWAY_ALLOWED_ORIGINS names theirs"

# Of an answer, for the scripts of a page to read; of a request, whatever SDKs send.
_EXPOSED_HEADERS = (
    "x-request-id",
    "x-total-time",
    "Server-Timing",
    "x-model-revision",
    "x-model-edition",
    "x-should-retry",
    "Retry-After",
    *(
        f"x-ratelimit-{what}-{unit}"
        for what in ("limit", "remaining", "reset")
        for unit in ("requests", "tokens")
    ),
)


def allow_origins(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    """The app for pages of these origins too; `*` stands for all.

    A page sends its key in a header of its own making, so no cookies or passwords that the browser
    keeps are asked for.
    """
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "HEAD", "POST"),
        allow_headers=("*",),
        expose_headers=_EXPOSED_HEADERS,
        allow_private_network=True,
    )


def is_preflight(request: Request) -> bool:
    """Whether a browser asks on behalf of a page of another origin."""
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers
