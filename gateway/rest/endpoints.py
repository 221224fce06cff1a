"""The routes: read, call, answer. Errors pass through to the one handler in app.py."""

import asyncio
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.admission import Admission
from gateway.access.keys import check_key
from gateway.errors import ModelNotFound, TritonUnavailable
from gateway.inference.catalogue import Catalogue, ServedModel
from gateway.inference.chunking import estimate_tokens
from gateway.inference.embedder import Caller, Embedder, EmbeddingCall
from gateway.rest.contract import EmbeddingResponse, render_response
from gateway.rest.encoding import encode, number_formats_of
from gateway.rest.middleware import read_body, run_unless_hung_up
from gateway.rest.parsing import EmbeddingRequest, parse_request
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics

# Seconds that a readiness answer may be old.
READY_MAX_AGE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the endpoints work with; one per app, at `app.state.gateway`."""

    settings: Settings
    embedder: Embedder
    catalogue: Catalogue
    admission: Admission
    metrics: Metrics


class JSONResponse(Response):
    """Bytes that are JSON already."""

    media_type = "application/json"


async def create_embeddings(request: Request) -> Response:
    """POST /v1/embeddings."""
    gateway = _gateway(request)
    caller = Caller(_authorize(request), request.client)
    deadline = asyncio.get_running_loop().time() + gateway.settings.timeout_seconds
    async with asyncio.timeout_at(deadline):
        asked = parse_request(
            await read_body(request, gateway.settings.max_body_bytes),
            max_texts=gateway.settings.max_texts,
            max_prompt_characters=gateway.settings.max_prompt_characters,
        )
        model = gateway.catalogue.resolve(asked.model)
        call = _prepare(asked, model, deadline, request.state.request_id, caller)
        with gateway.admission.admit(sum(call.token_estimates)):
            embeddings = await run_unless_hung_up(request, gateway.embedder.embed(call))
    tokens = int(embeddings.token_counts.sum())
    gateway.metrics.texts(model.id).inc(len(call.texts))
    gateway.metrics.tokens(model.id).inc(tokens)
    response = EmbeddingResponse(
        model=model.id,
        columns=encode(embeddings.arrays, asked.formats, gateway.settings.binary_bit_order),
        tokens=tokens,
        normalized=call.normalized,
        dimensions=call.dimensions,
        dict_object=_dict_object(request),
    )
    return JSONResponse(render_response(response))


def _prepare(
    asked: EmbeddingRequest, model: ServedModel, deadline: float, request_id: str, caller: Caller
) -> EmbeddingCall:
    return EmbeddingCall(
        ensemble=model.ensemble,
        texts=asked.texts,
        token_estimates=estimate_tokens(asked.texts, model.max_length),
        number_formats=number_formats_of(asked.formats),
        dimensions=model.resolve_dimensions(asked.dimensions),
        normalized=asked.normalized,
        truncation=asked.truncation,
        deadline=deadline,
        request_id=request_id,
        caller=caller,
    )


def _dict_object(request: Request) -> str:
    """The `object` of items with several formats; the generated SDKs parse by it."""
    chosen = _gateway(request).settings.multi_format_object
    if chosen != "auto":
        return chosen
    is_generated = any(name in request.headers for name in ("x-stainless-lang", "x-fern-language"))
    return "embedding_dict" if is_generated else "embedding"


async def list_models(request: Request) -> Response:
    """GET /v1/models."""
    _authorize(request)
    catalogue = _gateway(request).catalogue
    if not catalogue.models and catalogue.trouble:
        raise TritonUnavailable("the models are not loaded yet")
    body = {"object": "list", "data": [_model_object(model) for model in catalogue.models]}
    return JSONResponse(orjson.dumps(body))


async def retrieve_model(request: Request) -> Response:
    """GET /v1/models/{id}; the slash of an id may arrive raw or as %2F."""
    _authorize(request)
    name = request.path_params["id"].rstrip("/")
    model = _gateway(request).catalogue.find(name)
    if model is None:
        raise ModelNotFound(f"model {name!r} is not served")
    return JSONResponse(orjson.dumps(_model_object(model)))


def _model_object(model: ServedModel) -> dict[str, object]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owner,
        "dimensions": model.dimensions,
        "max_length": model.max_length,
        "matryoshka": model.matryoshka,
        "aliases": model.aliases,
        "revision": model.revision,
    }


async def info(request: Request) -> Response:
    """GET /."""
    return JSONResponse(orjson.dumps({"name": "triton-embeddings", "version": _version()}))


async def live(request: Request) -> Response:
    """GET /health and /health/live: this process answers."""
    return JSONResponse(b'{"status":"ok"}')


async def ready(request: Request) -> Response:
    """GET /health/ready: every known model can serve, as Triton said at most a second ago."""
    catalogue = _gateway(request).catalogue
    await catalogue.refresh(max_age_seconds=READY_MAX_AGE_SECONDS)
    if catalogue.trouble:
        raise TritonUnavailable("not every model is ready")
    return JSONResponse(b'{"status":"ok"}')


async def metrics(request: Request) -> Response:
    """GET /metrics."""
    return Response(_gateway(request).metrics.render(), media_type=CONTENT_TYPE_LATEST)


async def openapi(request: Request) -> Response:
    """GET /openapi.json."""
    return JSONResponse(_schema())


@cache
def _schema() -> bytes:
    return files("gateway.rest").joinpath("openapi.json").read_bytes()


@cache
def _version() -> str:
    return version("triton-embeddings")


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


def _authorize(request: Request) -> bytes:
    """The digest of the caller's key, empty where none is asked for."""
    settings = _gateway(request).settings
    if settings.auth == "off":
        return b""
    return check_key(request.headers.get("authorization"), settings.api_keys)
