"""Which revision of a model a call gets, while the Tritons serve several.

Embeddings of two revisions cannot be compared, so a caller stays with one: whose key falls below a
revision's share gets it from every gateway, today and after a restart, and as the share of a new
revision grows each caller moves once. Editions of one revision, exported anew, give embeddings that
can be compared; among them calls go by the Tritons that serve each.
"""

import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar

from gateway.access.keys import Caller
from gateway.inference.names import name_edition
from gateway.settings import PREFIX, SettingsError

VARIABLE = f"{PREFIX}REVISION_SHARES"
_SHARES = re.compile(r"(?P<model>[^=;,\s]+)=(?P<shares>[^=;]+)")
_SHARE = re.compile(r"(?P<revision>[0-9A-Za-z._-]+):(?P<weight>\d+)")


class Edition(Protocol):
    """What is needed of one edition of a model.

    tritons  that serve it
    """

    @property
    def id(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def edition(self) -> str: ...

    @property
    def tritons(self) -> int: ...


E = TypeVar("E", bound=Edition)


class Shares:
    """The shares that an operator chose, of some models.

    text  `model=revision:90,revision:10; model=…`; a revision, or an edition, by its first digits

    Raises: SettingsError.
    """

    def __init__(self, text: str = "") -> None:
        self._chosen = {
            model: weights
            for part in filter(None, map(str.strip, text.split(";")))
            for model, weights in [_read(part)]
        }

    def weights(self, editions: Sequence[Edition]) -> list[int]:
        """What each gets; in proportion to the Tritons if none is served that has a share."""
        chosen = self._chosen.get(editions[0].id, {})
        weights = [_weight(edition, chosen) for edition in editions]
        return weights if any(weights) else [edition.tritons for edition in editions]

    def choose(self, editions: Sequence[E], caller: Caller) -> E:
        """The edition for a call of this caller."""
        revisions: defaultdict[str, list[tuple[E, int]]] = defaultdict(list)
        for edition, weight in zip(editions, self.weights(editions), strict=True):
            revisions[edition.revision].append((edition, weight))
        left = place(caller, editions[0].id) * sum(
            weight for group in revisions.values() for _, weight in group
        )
        for _, group in sorted(revisions.items()):
            weights = [weight for _, weight in group]
            if left < sum(weights):
                break
            left -= sum(weights)
        if len(group) == 1:
            return group[0][0]
        return random.choices([edition for edition, _ in group], weights)[0]  # noqa: S311


def place(caller: Caller, model: str) -> float:
    """Where a caller stands among all that may call a model, 0 to 1: by its key, else its host."""
    host = caller.connection[0] if isinstance(caller.connection, tuple) else ""
    who = caller.key or str(host).encode()
    digest = blake2b(who, key=model.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _weight(edition: Edition, chosen: Mapping[str, int]) -> int:
    for start, weight in chosen.items():
        if edition.revision.startswith(start) or name_edition(edition.edition).startswith(start):
            return weight
    return 0


def _read(part: str) -> tuple[str, dict[str, int]]:
    """A model, and the beginnings of its revisions with their weights."""
    match = _SHARES.fullmatch(part)
    shares = (
        [_SHARE.fullmatch(word.strip()) for word in match["shares"].split(",")] if match else []
    )
    if not match or not all(shares):
        raise SettingsError(
            f"{VARIABLE} holds {part!r}, which is not like model=revision:90,revision:10"
        )
    return match["model"], {share["revision"]: int(share["weight"]) for share in shares if share}
