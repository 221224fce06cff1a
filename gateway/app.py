"""create_app: routes, lifespan, and the one handler that turns errors into answers."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access.key_source import KeySource
from gateway.access.ledger import Ledger
from gateway.access.limits import open_limits
from gateway.caching.opening import cached
from gateway.errors import (
    ClientError,
    GatewayError,
    HungUp,
    MethodNotAllowed,
    NoSuchRoute,
    TritonTimeout,
    UpstreamError,
)
from gateway.inference.catalogue import Catalogue
from gateway.inference.embedder import Embedder
from gateway.inference.estimates import Estimates
from gateway.inference.health import Health
from gateway.inference.lanes import Lane
from gateway.inference.readiness import Readiness
from gateway.inference.revisions import Shares
from gateway.rest import endpoints
from gateway.rest.certificate import open_certificate
from gateway.rest.contract import render_error
from gateway.rest.endpoints import Gateway, JSONResponse
from gateway.rest.middleware import RequestScope
from gateway.rest.origins import ORIGINS_HINT, allow_origins, is_preflight
from gateway.rest.pages.routes import operator_routes, page_routes
from gateway.rest.paths import CanonicalPaths, asked_path, nearest_first
from gateway.rest.vocabulary import find_vocabulary
from gateway.settings import Settings
from gateway.telemetry.lines import FailureLine
from gateway.telemetry.logs import log_of_loop
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.timeline import Timeline
from gateway.telemetry.tracing import Tracing
from gateway.usage.log import open_log
from gateway.usage.meter import Meter

logger = logging.getLogger(__name__)

# Windows of bulk that may be held by however slow a service.
LEAST_WINDOWS = 4

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(settings: Settings, embedder: Embedder, tracing: Tracing | None = None) -> Starlette:
    """The ASGI app; it starts before its models do and answers 503 until they are ready.

    tracing  makes traces of requests, if somebody wants any

    Raises: SettingsError if the key file or the shares cannot be used, or a setting needs what is
    not installed; OSError if there can be no usage log.
    """
    key_source = KeySource(settings)
    ledger = Ledger(
        max_bytes=settings.max_inflight_bytes,
        max_tokens=settings.max_inflight_tokens,
        small_tokens=settings.small_call_tokens,
        tritons=embedder.ready_tritons,
        max_wait_seconds=settings.max_wait_seconds,
        least_tokens=LEAST_WINDOWS * settings.bulk_window_tokens,
        name_of=key_source.keys.name_of,
    )
    metrics = Metrics(
        held_bytes=ledger.held_bytes,
        held_tokens=ledger.held_tokens,
        waiting_tokens=embedder.waiting_tokens,
        triton_tokens=embedder.triton_tokens,
        capacity_tokens=embedder.capacity_tokens,
        embedded_tokens=embedder.embedded_tokens,
        triton_up=lambda: {(one.address,): one.state == "ready" for one in embedder.status()},
        triton_outstanding_tokens=lambda: {
            (one.address,): one.outstanding_tokens for one in embedder.status()
        },
        retries=embedder.retries,
        triton_requests=embedder.triton_requests,
        key_file_valid=lambda: key_source.is_valid,
        key_file_loaded=lambda: key_source.loaded_at,
    )
    embedder = cached(embedder, settings, metrics)
    limits = open_limits(
        settings,
        note_refused=lambda name, limit: metrics.rate_limited(name, limit).inc(),
        note_error=metrics.rate_limit_errors.inc,
    )
    metrics.rate_limits_shared.set_function(lambda: limits.are_shared)
    certificate = open_certificate(settings)
    if certificate:
        metrics.watch_certificate(lambda: certificate.expires)
    catalogue = Catalogue(embedder, shares=Shares(settings.revision_shares))
    health = Health()
    readiness, stopping = Readiness(catalogue, health, embedder), threading.Event()
    metrics.watch_service(
        is_ready=lambda: not stopping.is_set() and not readiness.troubles(),
        model_tritons=catalogue.tritons,
    )
    app = App(routes=_routes(settings), lifespan=_lifespan)
    app.router.redirect_slashes = False  # some clients drop the body or the key on a redirect
    app.state.gateway = Gateway(
        settings=settings,
        key_source=key_source,
        limits=limits,
        embedder=embedder,
        catalogue=catalogue,
        health=health,
        readiness=readiness,
        ledger=ledger,
        answers=Lane(settings.max_inflight_bytes // 2),
        estimates=Estimates(),
        metrics=metrics,
        tracing=tracing,
        meter=Meter(metrics, open_log(settings)),
        vocabulary=find_vocabulary(settings.token_ids),
        certificate=certificate,
        stopping=stopping,
    )
    return app


class App(Starlette):
    """Starlette with one layer around its routes: whatever they raise is answered there.

    Starlette's own middleware and exception handlers have no place in it.
    """

    def build_middleware_stack(self) -> ASGIApp:
        gateway: Gateway = self.state.gateway
        app: ASGIApp = RequestScope(
            CanonicalPaths(self.router), gateway.metrics, _answer, gateway.tracing
        )
        origins = gateway.settings.allowed_origins
        return allow_origins(app, origins) if origins else app


def create_operations(app: Starlette) -> Starlette:
    """What machines and operators ask of a running app, for a port of its own."""
    gateway: Gateway = app.state.gateway
    pages = [] if gateway.settings.pages == "off" else operator_routes(gateway.settings)
    operations = App(
        routes=[
            *_health_routes(),
            Route("/metrics", endpoints.metrics),
            *pages,
        ]
    )
    operations.router.redirect_slashes = False
    operations.state.gateway = gateway
    return operations


def _routes(settings: Settings) -> list[Route]:
    front = [Route("/", endpoints.info)] if settings.pages == "off" else page_routes(settings)
    metrics = [] if settings.operations_port else [Route("/metrics", endpoints.metrics)]
    return [
        *_versioned("/embeddings", endpoints.create_embeddings, "POST"),
        *_versioned("/models", endpoints.list_models),
        *_versioned("/models/{id:path}", endpoints.retrieve_model),
        *_health_routes(),
        *metrics,
        Route("/openapi.json", endpoints.openapi),
        *front,
    ]


def _health_routes() -> list[Route]:
    return [
        Route("/health", endpoints.live),
        Route("/health/live", endpoints.live),
        Route("/health/ready", endpoints.ready),
    ]


def _versioned(path: str, endpoint: Endpoint, method: str = "GET") -> list[Route]:
    """The path with and without /v1."""
    return [
        Route(prefix + path, Direct(endpoint), methods=[method], name=endpoint.__name__)
        for prefix in ("/v1", "")
    ]


class Direct:
    """An endpoint without the layer that Starlette puts around it for handlers of exceptions."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def _told_routes(app: Starlette) -> list[str]:
    """What is told to who asks for another one: `METHOD /path`, no twins without /v1."""
    routes = [route for route in app.routes if isinstance(route, Route) and route.include_in_schema]
    methods = {route.path: min(route.methods or ()) for route in routes}  # not HEAD
    return [
        f"{method} {path.replace(':path', '')}"
        for path, method in methods.items()
        if f"/v1{path}" not in methods
    ]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    gateway: Gateway = app.state.gateway
    asyncio.get_running_loop().set_exception_handler(log_of_loop)
    watchers = [
        asyncio.create_task(gateway.readiness.watch()),
        asyncio.create_task(gateway.key_source.watch(partial(_served_models, gateway.catalogue))),
    ]
    await gateway.limits.open()
    if gateway.certificate:
        watchers.append(asyncio.create_task(gateway.certificate.watch()))
    async with gateway.meter.running():
        yield
    for watcher in watchers:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
    await gateway.limits.close()
    await gateway.embedder.close()
    if gateway.tracing is not None:
        await asyncio.to_thread(gateway.tracing.close)


def _served_models(catalogue: Catalogue) -> list[str]:
    """Ids of all models, or none while some are to come."""
    return [] if catalogue.troubles() else [model.id for model in catalogue.models]


def _answer(request: Request, exception: Exception) -> Response:
    """The one place where an exception becomes a response; nothing foreign gets out."""
    error = _translate(request, exception)
    timeline: Timeline = request.state.timeline
    timeline.failed(error.code)
    if isinstance(error, UpstreamError):
        request.app.state.gateway.metrics.upstream_errors(error.code).inc()
    if not isinstance(error, ClientError):
        _log(error, exception, timeline.request_id)
    return JSONResponse(render_error(error), error.status, error.headers)


def _translate(request: Request, exception: Exception) -> GatewayError:
    match exception:
        case GatewayError():
            return exception
        case HTTPException(status_code=404):
            path = asked_path(request.scope)
            return NoSuchRoute(
                request.method[:20], path, nearest_first(path, _told_routes(request.app))
            )
        case HTTPException(status_code=405):
            allowed = (exception.headers or {}).get("Allow", "")
            hint = ORIGINS_HINT if is_preflight(request) else ""
            return MethodNotAllowed(", ".join(sorted(allowed.split(", "))), hint)
        case ClientDisconnect():
            return HungUp("the client closed the connection")
        case TimeoutError():
            return TritonTimeout("the deadline passed before the embeddings were ready")
    return GatewayError("internal error")


def _log(error: GatewayError, exception: Exception, request_id: str) -> None:
    """The whole trace for what is our bug, one line for what another side caused.

    What has no cause is in the access log already.
    """
    reason = error.reason or type(exception.__cause__ or exception).__name__
    line = FailureLine(request_id, error.code, error.message, reason)
    if error.status == 500:
        logger.error(line, exc_info=exception)
    elif exception.__cause__ is not None:
        logger.warning(line)
