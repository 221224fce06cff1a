"""What is served of a model that sentence-transformers has read."""

import math
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from export.architectures.jina_bert import JinaBertModel
from export.checkpoint import ModelSpec
from export.errors import UnsupportedModel
from export.graph.encoder import most_positions
from export.reference.model import modes, modules

UNLIMITED_TOKENS = 32_768  # of a text, where neither the checkpoint nor its positions have an end
GROWING_ROPE = {"dynamic", "longrope"}  # above the original length angles depend on the length


def describe(
    model: SentenceTransformer, normalized: bool, max_length: int | None, weights: str
) -> ModelSpec:
    transformer, pooling, *_ = modules(model)
    limit, stated = _limit(model, max_length)
    model.max_seq_length = limit
    if isinstance(transformer.model, JinaBertModel):
        transformer.model.reach(limit)
    _check_room(model, limit)
    probe = model.preprocess(["a"], prompt="")
    with torch.no_grad():
        dimensions = model(probe)["sentence_embedding"].shape[1]
    return ModelSpec(
        architecture=transformer.config.model_type,
        dimensions=dimensions,
        max_length=limit,
        stated_length=stated,
        pooling="+".join(modes(pooling)),
        weights=weights,
        **_words(model, normalized),
    )


def describe_table(
    model: SentenceTransformer, normalized: bool, max_length: int | None, weights: str
) -> ModelSpec:
    with torch.no_grad():
        dimensions = model(model.preprocess(["a"]))["sentence_embedding"].shape[1]
    limit = max_length or _table_limit(model.tokenizer)
    model.tokenizer.no_truncation()  # from here on the limit is what cuts
    return ModelSpec(
        architecture="static",
        dimensions=dimensions,
        max_length=limit,
        pooling="mean",
        weights=weights,
        **_words(model, normalized),
    )


def _table_limit(tokenizer: Tokenizer) -> int:
    """Tokens of a text by tokenizer.json, with the one in front that is not theirs."""
    cut = tokenizer.truncation
    if cut is None:
        return UNLIMITED_TOKENS
    if cut["direction"] != "right":
        raise UnsupportedModel(
            "tokenizer.json: truncation at the left, and what is served cuts long texts at the "
            "right unless a call asks for the other end"
        )
    return min(int(cut["max_length"]) + 1, UNLIMITED_TOKENS)


def _words(model: SentenceTransformer, normalized: bool) -> dict[str, Any]:
    """Of a description: prompts, and how vectors are to be compared."""
    prompts = {name: text for name, text in model.prompts.items() if text}
    default = model.default_prompt_name
    return {
        "prompts": tuple(prompts.items()),
        "default_prompt_name": default if default in prompts else None,
        "similarity": model.similarity_fn_name,
        "normalized": normalized,
    }


def _limit(model: SentenceTransformer, max_length: int | None) -> tuple[int, int | None]:
    """The tokens of a text, as given or as stated, and what is stated if positions end before."""
    transformer = modules(model)[0].model
    grows = _grows_from(transformer)
    reach = most_positions(transformer) if grows is None else grows
    stated = _stated(model) if max_length is None else max_length
    if stated is None:
        stated = reach or getattr(transformer.config, "max_position_embeddings", None)
    if not stated:
        raise UnsupportedModel("the checkpoint states no maximum length: give --max-length")
    if reach is None or stated <= reach:
        return stated, None
    if grows is not None:  # theirs reads longer texts, and a shorter one among them otherwise
        raise UnsupportedModel(
            f"config.json: the angles of rotary positions depend on the longest text of a batch "
            f"above {grows} tokens, and {stated} are asked for: give --max-length, at most {grows}"
        )
    if max_length is not None:
        raise UnsupportedModel(
            f"config.json: the model has {reach} positions, --max-length {max_length} is more"
        )
    return reach, stated


def _stated(model: SentenceTransformer) -> int | None:
    """Tokens by sentence_bert_config.json, else by the tokenizer's file; None for no limit."""
    stated = model.max_seq_length
    if stated is None or not math.isfinite(stated) or stated > 10**9:  # 1e30 is "no limit"
        return None
    if isinstance(stated, float):  # theirs fails at its first text
        raise UnsupportedModel(f"{stated} tokens, the longest text, is no whole number")
    return int(stated)


def _grows_from(transformer: PreTrainedModel) -> int | None:
    """Tokens of a text above which the angles of its positions depend on its length."""
    config = transformer.config
    rope = getattr(config, "rope_parameters", None) or {}
    parts = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    growing = [part for part in parts if part.get("rope_type") in GROWING_ROPE]
    original = "original_max_position_embeddings"
    return min(
        (part.get(original) or config.max_position_embeddings for part in growing), default=None
    )


def _check_room(model: SentenceTransformer, limit: int) -> None:
    """Raises: UnsupportedModel if a text at the limit would be its special tokens alone."""
    specials = len(model.tokenizer("")["input_ids"])
    if limit <= specials:
        raise UnsupportedModel(
            f"{limit} tokens leave no room for a text beside {specials} special tokens: "
            f"give --max-length, at least {specials + 1}"
        )
