"""The routes: read, call, answer. Errors pass through to the one handler in app.py."""

import asyncio
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from importlib.metadata import version
from importlib.resources import files

import orjson
from msgspec.structs import replace
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.access.key_source import KeySource
from gateway.access.keys import ANYBODYS_KEY, Caller, Key
from gateway.access.ledger import Entry, Ledger
from gateway.access.limits import Charge, Limits
from gateway.errors import ModelNotFound, TritonUnavailable
from gateway.inference.catalogue import Catalogue, ServedModel
from gateway.inference.embedder import Embedder, EmbeddingCall, Embeddings
from gateway.inference.estimates import Estimates
from gateway.inference.health import Health
from gateway.inference.lanes import Lane
from gateway.inference.names import name_edition
from gateway.inference.prompts import heads, join
from gateway.inference.readiness import Readiness, describe
from gateway.inference.tensors import count_bytes
from gateway.rest.body import read_body
from gateway.rest.certificate import Certificate
from gateway.rest.contract import EmbeddingResponse, render_response
from gateway.rest.encoding import Format, encode, json_bytes, number_formats_of
from gateway.rest.middleware import run_unless_hung_up
from gateway.rest.parsing import EmbeddingRequest, parse_request
from gateway.rest.vocabulary import Vocabulary
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.timeline import Timeline
from gateway.telemetry.tracing import Tracing
from gateway.usage.log import Use
from gateway.usage.meter import Meter

# A revision is whatever the parameters of a model say.
_IN_HEADER = re.compile(r"[!-~]+").fullmatch
# Bytes of an answer that are handed to the server at once; it waits before it takes more.
PART_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the endpoints work with; one per app, at `app.state.gateway`."""

    settings: Settings
    key_source: KeySource
    limits: Limits
    embedder: Embedder
    catalogue: Catalogue
    health: Health
    readiness: Readiness
    ledger: Ledger
    answers: Lane  # bytes of answers that are written and not yet sent
    estimates: Estimates
    metrics: Metrics
    tracing: Tracing | None
    vocabulary: Vocabulary | None  # of token ids, if they are decoded
    meter: Meter
    certificate: Certificate | None = None
    stopping: threading.Event = field(default_factory=threading.Event)


class JSONResponse(Response):
    """Bytes that are JSON already, sent no faster than they are read."""

    media_type = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start"} | head)
        parts = memoryview(self.body)
        for start in range(0, max(len(parts), 1), PART_BYTES):
            part, rest = parts[start : start + PART_BYTES], parts[start + PART_BYTES :]
            await send({"type": "http.response.body", "body": part, "more_body": bool(rest)})


async def create_embeddings(request: Request) -> Response:
    """POST /v1/embeddings.

    What the call holds is given back by `middleware.RequestScope`, once the answer is sent.
    """
    gateway = _gateway(request)
    key = _authorize(request)
    gateway.limits.refuse_used_up(key)
    entry = gateway.ledger.open(Caller(key.digest, request.client))
    request.state.exits.append(entry.close)
    async with asyncio.timeout(gateway.settings.timeout_seconds):
        call, model, formats = await _receive(gateway, request, entry)
        call.timeline.ended("read")
        charge = await _charge(gateway, request, call)
        with charge:
            embeddings = await run_unless_hung_up(request, _embed(gateway, request, call, formats))
    gateway.estimates.learn(
        (model.ensemble, entry.caller.key), call.texts, embeddings.token_counts, model.max_length
    )
    tokens = sum(embeddings.token_counts.tolist())
    charge.settle(tokens)
    gateway.metrics.texts(model.id).inc(len(call.texts))
    gateway.metrics.tokens(model.id).inc(tokens)
    call.timeline.tokens, call.timeline.dimensions = tokens, embeddings.dimensions
    response = EmbeddingResponse(
        model=model.id,
        columns=encode(embeddings.arrays, formats, gateway.settings.binary_bit_order),
        tokens=tokens,
        normalized=call.normalized,
        dimensions=embeddings.dimensions,
        dict_object=_dict_object(gateway, request, formats),
    )
    call.timeline.ended("encode")
    body = render_response(response)
    call.timeline.ended("render")
    served = gateway.catalogue.find_edition(model, embeddings.edition)
    call.timeline.revision = served.revision
    gateway.meter.note(_use(request, served, call, tokens))  # written before the answer leaves
    return JSONResponse(body, headers=_provenance(served.revision, embeddings.edition))


async def _receive(
    gateway: Gateway, request: Request, entry: Entry
) -> tuple[EmbeddingCall, ServedModel, tuple[Format, ...]]:
    """What the body asks for: the call, its model, the formats. The texts as sent end here."""
    vocabulary, max_bytes = gateway.vocabulary, gateway.settings.max_body_bytes
    asked = parse_request(
        await read_body(request, max_bytes, entry.hold),
        max_texts=gateway.settings.max_texts,
        max_prompt_characters=gateway.settings.max_prompt_characters,
        encoding=vocabulary.encoding if vocabulary else None,
    )
    if vocabulary and asked.token_ids:
        texts = await vocabulary.decode(asked.token_ids, max_bytes, entry.hold)
        asked = replace(asked, texts=texts, token_ids=())
    model = await gateway.catalogue.resolve(asked.model, request.state.key.may_use)
    model = gateway.catalogue.choose(model, entry.caller)
    return _prepare(gateway, request, asked, model, entry), model, asked.formats


async def _charge(gateway: Gateway, request: Request, call: EmbeddingCall) -> Charge:
    """What the key is charged for the call, noted so that the answer tells of its limits."""
    charge = await gateway.limits.charge(request.state.key, sum(call.token_estimates))
    request.state.charge = charge
    return charge


async def _embed(
    gateway: Gateway, request: Request, call: EmbeddingCall, formats: tuple[Format, ...]
) -> Embeddings:
    """The embeddings, when there is room to write the answer too."""
    with gateway.health.noting(call.ensemble) as noting:
        embeddings = await gateway.embedder.embed(call)
        noting.is_answer = not embeddings.is_cached
    call.timeline.ended("cache" if embeddings.is_cached else "triton")
    size = json_bytes(embeddings.arrays, formats)
    await gateway.answers.take(call.entry.caller, size)
    call.timeline.ended("queue")
    request.state.exits.append(partial(gateway.answers.give_back, size))
    return embeddings


def _prepare(
    gateway: Gateway, request: Request, asked: EmbeddingRequest, model: ServedModel, entry: Entry
) -> EmbeddingCall:
    """The call, its bytes held before the prompt is copied to every text."""
    prompt = model.prompts.choose(asked.prompt)
    before = heads(prompt, asked.texts, spaced=asked.prompt is not None)
    entry.hold(sum(map(len, before)) + sum(map(len, asked.texts)) + _embedding_bytes(asked, model))
    texts = join(before, asked.texts)
    who = model.ensemble, entry.caller.key
    timeline: Timeline = request.state.timeline
    timeline.model, timeline.texts = model.id, len(texts)
    estimates = gateway.estimates.guess(who, texts, model.max_length)
    is_small = sum(estimates) <= gateway.settings.small_call_tokens
    timeline.lane = "interactive" if is_small else "bulk"
    return EmbeddingCall(
        model=model.id,
        ensemble=model.ensemble,
        texts=texts,
        token_estimates=estimates,
        number_formats=number_formats_of(asked.formats),
        dimensions=asked.dimensions,
        normalized=asked.normalized,
        truncation=asked.truncation,
        entry=entry,
        timeline=timeline,
        micro_batch_tokens=model.micro_batch_tokens,
        edition=model.edition,
    )


def _embedding_bytes(asked: EmbeddingRequest, model: ServedModel) -> int:
    """Of the embeddings as they are expected: the model has the last word on their size."""
    dimensions = model.dimensions
    if asked.dimensions is not None and 1 <= asked.dimensions < dimensions:
        dimensions = asked.dimensions
    names = number_formats_of(asked.formats)
    return sum(count_bytes(name, len(asked.texts), dimensions) for name in names)


@lru_cache
def _provenance(revision: str, edition: str) -> Mapping[str, str]:
    """Headers that name what gave the embeddings: those of two editions may differ."""
    headers = {"x-model-revision": revision, "x-model-edition": name_edition(edition)}
    return {name: value for name, value in headers.items() if value and _IN_HEADER(value)}


def _use(request: Request, model: ServedModel, call: EmbeddingCall, tokens: int) -> Use:
    key: Key = request.state.key
    return Use(
        request_id=call.timeline.request_id,
        key=key.name,
        digest=key.digest.hex()[:8],
        model=model.id,
        revision=model.revision,
        texts=len(call.texts),
        tokens=tokens,
    )


def _dict_object(gateway: Gateway, request: Request, formats: tuple[Format, ...]) -> str:
    """The `object` of items with several formats; the generated SDKs parse by it."""
    chosen = gateway.settings.multi_format_object
    if len(formats) == 1:
        return "embedding"
    if chosen != "auto":
        return chosen
    is_generated = any(name in request.headers for name in ("x-stainless-lang", "x-fern-language"))
    return "embedding_dict" if is_generated else "embedding"


async def list_models(request: Request) -> Response:
    """GET /v1/models: those that the key may use."""
    key = _authorize(request)
    catalogue = _gateway(request).catalogue
    if not catalogue.models and catalogue.troubles():
        raise TritonUnavailable("the models are not loaded yet")
    body = {
        "object": "list",
        "data": [
            _model_object(model, catalogue) for model in catalogue.models if key.may_use(model.id)
        ],
    }
    return JSONResponse(orjson.dumps(body))


async def retrieve_model(request: Request) -> Response:
    """GET /v1/models/{id}; the slash of an id may arrive raw or as %2F."""
    key = _authorize(request)
    name = request.path_params["id"]
    catalogue = _gateway(request).catalogue
    model = await catalogue.find(name, key.may_use)
    if model is None:
        raise ModelNotFound(f"model {name!r} is not served")
    return JSONResponse(orjson.dumps(_model_object(model, catalogue)))


def _model_object(model: ServedModel, catalogue: Catalogue) -> dict[str, object]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owner,
        "dimensions": model.dimensions,
        "max_length": model.max_length,
        "matryoshka": model.matryoshka,
        "aliases": model.aliases,
        "names": catalogue.names_of(model),
        "revision": model.revision,
        "edition": name_edition(model.edition),
        "revisions": [
            {"revision": one.revision, "edition": name_edition(one.edition), "share": share}
            for one, share in catalogue.shares_of(model)
        ],
        "prompts": model.prompts.texts,
        "default_prompt_name": model.prompts.default_name,
        "similarity": model.similarity,
    }


async def info(request: Request) -> Response:
    """GET /."""
    return JSONResponse(orjson.dumps({"name": "triton-embeddings", "version": _version()}))


async def live(request: Request) -> Response:
    """GET /health and /health/live: this process answers."""
    return JSONResponse(b'{"status":"ok"}')


async def ready(request: Request) -> Response:
    """GET /health/ready: a call of any known model would succeed; which Tritons are ill."""
    if _gateway(request).stopping.is_set():
        raise TritonUnavailable("not ready: this gateway is stopping", {"models": {}})
    readiness = _gateway(request).readiness
    troubles = await readiness.look()
    ill = readiness.ill_tritons()
    if troubles:
        details = {"models": troubles, "tritons": ill}
        raise TritonUnavailable(f"not ready: {describe(troubles)}", details)
    return JSONResponse(orjson.dumps({"status": "ok"} | ({"tritons": ill} if ill else {})))


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


def _authorize(request: Request) -> Key:
    """The caller's key, which is noted in the state of the request.

    Raises: Unauthorized, KeyExpired.
    """
    gateway = _gateway(request)
    if gateway.settings.auth == "off":
        key = ANYBODYS_KEY
    else:
        key = gateway.key_source.keys.check(request.headers.get("authorization"))
    request.state.key = key
    return key
