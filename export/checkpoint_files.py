"""The files of a checkpoint that an export reads, told by their names.

    root, and the folder of each    *.json and vocabularies
    module of modules.json
    folder of each module, or the   model.safetensors or its shards; where there is neither,
    root without modules.json       pytorch_model.bin or its shards

Nothing else is downloaded or part of a digest: other formats and precisions of the same weights,
weights of adapters, code, pictures, states of a training.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from export.errors import CheckpointNotFound, UnsupportedModel
from export.steps.integrity import file_sha256

ROOT = ""
POOLING_CONFIG = "1_Pooling/config.json"  # read where no modules.json names it, too
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there
READ = ("*.json", "*.txt", "*.model", "*.tiktoken")
NOT_READ = (
    *("*.index.json", "*.index.*.json"),  # of weights; those that are read come with their shards
    *("trainer_state.json", "training_args.json", "*_results.json", "*_results.txt"),
    *("licen[cs]e*", "notice*", "readme*", "requirements*"),
)


class Files(Protocol):
    """The files of one checkpoint, here or on the Hub; names are paths with slashes."""

    def names(self, folder: str) -> Collection[str]:
        """Last parts of the names of the files right in a folder."""

    def read(self, name: str) -> bytes:
        """Content of a file."""


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """The files of a folder."""

    folder: Path

    def names(self, folder: str) -> Collection[str]:
        place = self.folder / folder
        return [path.name for path in place.iterdir() if path.is_file()] if place.is_dir() else []

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files that an export reads.

    Raises: CheckpointNotFound, UnsupportedModel.
    """
    names = sorted(needed(LocalFiles(folder)))
    lines = [f"{name} {file_sha256(folder / name)}\n" for name in names]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def needed(files: Files) -> list[str]:
    """Names of the files that an export reads, each once, weights last.

    Raises: CheckpointNotFound for a list of modules or shards that cannot be read;
    UnsupportedModel for one that leads out of the checkpoint.
    """
    modules = _modules(files)
    read = [name for folder in {ROOT, *modules} for name in _texts(files, folder)]
    if "config.json" in files.names("1_Pooling"):
        read.append(POOLING_CONFIG)
    weights = [name for folder in modules or [ROOT] for name in _weights(files, folder)]
    return list(dict.fromkeys([*sorted(read), *weights]))


def is_weights(name: str) -> bool:
    """Whether a file that is needed holds weights, and not words about them."""
    return name.endswith((".safetensors", ".bin"))


def _modules(files: Files) -> list[str]:
    """The folder of each module that modules.json lists."""
    if "modules.json" not in files.names(ROOT):
        return []
    modules = _parse(files, "modules.json")
    try:
        return [_folder(str(module["path"])) for module in modules]
    except (KeyError, TypeError) as error:
        raise CheckpointNotFound("modules.json is no list of modules with a path each") from error


def _folder(path: str) -> str:
    parts = PurePosixPath(path).parts
    if ".." in parts or path.startswith("/"):
        raise UnsupportedModel(f"modules.json: path {path!r} leads out of the checkpoint")
    return "/".join(parts)


def _texts(files: Files, folder: str) -> list[str]:
    """Configurations and vocabularies right in a folder."""
    return [
        _join(folder, name)
        for name in files.names(folder)
        if _matches(name, READ) and not _matches(name.lower(), NOT_READ)
    ]


def _weights(files: Files, folder: str) -> list[str]:
    """The weights right in a folder, with the index of their shards."""
    held = files.names(folder)
    for name in WEIGHTS:
        index = f"{name}.index.json"
        if name in held:
            return [_join(folder, name)]
        if index in held:
            index = _join(folder, index)
            return [index, *_shards(files, folder, index)]
    return []


def _shards(files: Files, folder: str, index: str) -> list[str]:
    content = _parse(files, index)
    try:
        shards = sorted(set(content["weight_map"].values()))
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointNotFound(f"{index} has no weight_map that names the shards") from error
    for shard in set(shards).difference(files.names(folder)):
        raise CheckpointNotFound(f"{index} names {shard!r}, which is not beside it")
    return [_join(folder, shard) for shard in shards]


def _parse(files: Files, name: str) -> Any:
    try:
        return json.loads(files.read(name))
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, or brackets without end
        raise CheckpointNotFound(f"{name} is not JSON: {error}") from error


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
