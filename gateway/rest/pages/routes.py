"""The routes of the pages: files of this folder, and what a browser may do with them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import Literal

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.rest.endpoints import info
from gateway.settings import Settings

# Everything comes from here and asks only here; nothing is run that is not one of our files, and
# markup that a script puts together is refused altogether (trusted types).
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, and asked for anew: an upgrade shows at once
}
MEDIA_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}

# What is at the origin of a page: everything, calls without metrics, or metrics without calls.
Place = Literal["all", "calls", "operations"]

# Stands in the head of every page for what the page must know before it asks anything.
_ABOUT = b"{{about}}"


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent."""

    content: bytes
    media_type: str

    @property
    def tag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'


def page_routes(settings: Settings) -> list[Route]:
    """The page at `/`, beside the JSON that is there for everybody else, and its sisters."""
    about = _about(settings, "calls" if settings.operations_port else "all")

    async def front(request: Request) -> Response:
        """GET /: JSON unless a browser asks."""
        wants_page = prefers_html(request.headers.get("accept", ""))
        response = answer(request, _page("index", about)) if wants_page else await info(request)
        response.headers["Vary"] = "Accept"
        return response

    return [
        Route("/", front, name="info"),
        _page_route("operator", about),
        _page_route("docs", about),
        _ASSETS,
    ]


def operator_routes(settings: Settings) -> list[Route]:
    """The operator's page alone, for a port where there are no calls."""
    return [_page_route("operator", _about(settings, "operations")), _ASSETS]


def _page_route(name: str, about: bytes) -> Route:
    async def page(request: Request) -> Response:
        return answer(request, _page(name, about))

    return Route(f"/{name}", page, name=name)


async def asset(request: Request) -> Response:
    """GET /pages/{name}: a style, script or picture that belongs to a page."""
    file = _files().get(request.path_params["name"])
    if file is None or file.media_type == MEDIA_TYPES["html"]:
        raise HTTPException(404)
    return answer(request, file)


_ASSETS = Route("/pages/{name}", asset, include_in_schema=False)


def answer(request: Request, file: File) -> Response:
    """The file, or 304 where the browser has it."""
    headers = HEADERS | {"ETag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def prefers_html(accept: str) -> bool:
    """Whether an Accept header names HTML, and JSON no dearer; `*/*` alone is no browser's."""
    weights = dict(map(_weight, accept.split(",")))
    html = weights.get("text/html", 0.0)
    return html > 0 and html >= weights.get("application/json", 0.0)


def _weight(part: str) -> tuple[str, float]:
    """`type;q=0.5` → (type, 0.5); what is no number weighs nothing."""
    media_type, _, parameters = part.partition(";")
    _, given, weight = parameters.replace(" ", "").lower().partition("q=")
    try:
        return media_type.strip().lower(), float(weight.split(";")[0]) if given else 1.0
    except ValueError:
        return media_type.strip().lower(), 0.0


def _about(settings: Settings, place: Place) -> bytes:
    """What every page is told of this gateway; nothing that `/` and a 401 do not tell anybody."""
    told = {
        "place": place,
        "version": version("triton-embeddings"),
        "auth": settings.auth,
        "max_texts": settings.max_texts,
        "max_prompt_characters": settings.max_prompt_characters,
        "max_body_bytes": settings.max_body_bytes,
    }
    return escape(orjson.dumps(told).decode()).encode()


def _page(name: str, about: bytes) -> File:
    file = _files()[f"{name}.html"]
    return File(file.content.replace(_ABOUT, about), file.media_type)


@cache
def _files() -> Mapping[str, File]:
    """Every file of this folder that a browser can read, by its name."""
    return {
        file.name: File(file.read_bytes(), MEDIA_TYPES[ending])
        for file in files(__package__).iterdir()
        if (ending := file.name.rpartition(".")[2]) in MEDIA_TYPES
    }
