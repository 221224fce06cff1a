"""Every tokenizer that the tests export, by structure, as the tokenizer step gets it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Tokenizer

from export.checkpoint import DEFAULT_CHECKPOINT, resolve
from export.graph.quality import real_texts
from export.reference import load
from export.translations import translated
from tests.checkpoints import ARCHITECTURES, make_checkpoint
from tests.export.steps.tokenization.kinds import KINDS, TEXTS
from tests.same_ids.characters import HARD
from tests.same_ids.published import PUBLISHED

LIMIT = 64  # tokens; low, so that many texts are above it
LONGEST_LIMIT = 512  # beyond which a text above the limit would take megabytes


@dataclass(frozen=True, slots=True)
class Structure:
    """One tokenizer.json and the limit of its texts.

    names  of the checkpoints that have it; trained vocabularies are not told apart
    """

    names: tuple[str, ...]
    tokenizer_json: str
    max_length: int

    @property
    def name(self) -> str:
        """The first of them, and how many there are beside."""
        more = len(self.names) - 1
        return self.names[0] + (f" +{more}" if more else "")


def structures(only: str = "") -> list[Structure]:
    """All, or those with a part in a name; what takes longest first."""
    makers: dict[str, Callable[[], Structure]] = {"all-MiniLM-L6-v2": _default}
    makers |= {name: partial(published, name) for name in PUBLISHED}
    makers |= {name: partial(_kind, name) for name in KINDS}
    made = [make() for name, make in makers.items() if only in name]
    return [*made, *_checkpoints(only)]


def published(name: str, texts: Sequence[str] | None = None) -> Structure:
    """One of PUBLISHED; texts for its vocabulary, if not many."""
    return Structure((name,), PUBLISHED[name](texts or _many_texts()).to_str(), LIMIT)


@cache
def _many_texts() -> list[str]:
    """In which every hard character comes twice, so that most vocabularies know it."""
    return [*TEXTS, *real_texts(2000), *("".join(kind) for kind in (*HARD, *HARD))]


def _default() -> Structure:
    """With its real vocabulary and limit."""
    folder = resolve(DEFAULT_CHECKPOINT, None, lambda _: None, lambda _: None).folder
    return _exported("all-MiniLM-L6-v2", folder)


def _kind(name: str) -> Structure:
    return Structure((name,), KINDS[name]().to_str(), LIMIT)


def _checkpoints(only: str) -> Iterator[Structure]:
    """Those of the tiny checkpoints, one for all that differ in their vocabulary's training."""
    found: dict[str, Structure] = {}
    with TemporaryDirectory() as place:
        for name in (name for name in ARCHITECTURES if only in name):
            made = _exported(name, make_checkpoint(Path(place) / name, name))
            same = found.get(key := _without_vocabulary(made))
            names = (*same.names, name) if same else made.names
            found[key] = Structure(names, (same or made).tokenizer_json, made.max_length)
    yield from found.values()


def _exported(name: str, folder: Path) -> Structure:
    """What the exporter writes for a checkpoint."""
    pooling = ARCHITECTURES[name].pooling_option if name in ARCHITECTURES else None
    with translated(folder) as (read, _):
        reference = load(read, pooling, None)
    limit = min(reference.spec.max_length, LONGEST_LIMIT)
    return Structure((name,), reference.tokenizer().to_str(), limit)


def _without_vocabulary(structure: Structure) -> str:
    content = json.loads(structure.tokenizer_json)
    for key in ("vocab", "merges"):
        content["model"].pop(key, None)
    return json.dumps([content, structure.max_length], sort_keys=True)


def tokenizer_of(structure: Structure) -> Tokenizer:
    """Without padding and truncation."""
    tokenizer = Tokenizer.from_str(structure.tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
