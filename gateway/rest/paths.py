"""Paths as clients write them → the routes that exist, or the nearest of those."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

# Characters of a path that are told back.
MAX_TOLD_CHARACTERS = 100
# Characters that are compared with routes, of which the longest has 17: more costs a millisecond.
_MAX_COMPARED_CHARACTERS = 40

_VERSION = "v1"
_MODELS = "models"


class CanonicalPaths:
    """Rewrites the path of each request to the one its client means."""

    def __init__(self, router: Router) -> None:
        self._app = router
        self._routes = {route.path for route in router.routes if isinstance(route, Route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._routes:
            scope["path"] = canonical_path(scope["path"])
        await self._app(scope, receive, send)


def canonical_path(path: str) -> str:
    """The path without what joining base URLs leaves behind.

    Single slashes, none at the end, one /v1, lower case but for what follows /models/: the id of a
    model stays as it is.
    """
    words = [word for word in path.split("/") if word]
    names = words[: _first_of_id(words)]
    fixed = [name.lower() for name in names]
    while fixed[:2] == [_VERSION, _VERSION]:
        del fixed[0]
    return "/" + "/".join(fixed + words[len(names) :])


def _first_of_id(words: Sequence[str]) -> int:
    """Index of the first word that belongs to the id of a model, if any does."""
    for index, word in enumerate(words):
        if word.lower() != _VERSION:
            return index + 1 if word.lower() == _MODELS else len(words)
    return len(words)


def asked_path(scope: Scope) -> str:
    """The path as it was sent, still percent-encoded, as long as one reads."""
    path = scope.get("raw_path") or scope["path"].encode()
    told: str = path[: MAX_TOLD_CHARACTERS + 1].decode("ascii", "backslashreplace")
    return told if len(told) <= MAX_TOLD_CHARACTERS else f"{told[:MAX_TOLD_CHARACTERS]}…"


def nearest_first(path: str, routes: Iterable[str]) -> list[str]:
    """The routes, `METHOD /path` each, those that look most like the path first."""

    def distance(route: str) -> float:
        matcher.set_seq1(_without_version(route.partition(" ")[2]))
        return -matcher.ratio()

    wanted = _without_version(canonical_path(path[:MAX_TOLD_CHARACTERS]))
    matcher = SequenceMatcher(None, b=wanted[:_MAX_COMPARED_CHARACTERS], autojunk=False)
    return sorted(routes, key=distance)


def _without_version(path: str) -> str:
    return path.removeprefix(f"/{_VERSION}")
