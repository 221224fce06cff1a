"""The checkpoint as sentence-transformers runs it: what is exported, and compared with.

sentence-transformers reads all files itself, so that whatever they say is in its vectors. What it
would leave out without a word is stopped before: by `export.guard`, and here in the weights.
"""

import logging
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import TRANSFORMER_TASK_DEFAULTS
from sentence_transformers.sentence_transformer.modules import (
    Normalize,
    Pooling,
    StaticEmbedding,
    Transformer,
)
from tokenizers import Tokenizer, normalizers, processors
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from export.architectures import jina_bert
from export.checkpoint import POOLINGS, ModelSpec, PoolingOption, module_entries, weight_files
from export.errors import UnsupportedModel, one_line
from export.graph.encoder import convert, convert_table, most_positions

UNLIMITED_TOKENS = 32_768  # of a text, where neither the checkpoint nor its positions have an end
GROWING_ROPE = {"dynamic", "longrope"}  # above the original length angles depend on the length
# Of a head that no text embedding goes through, or a buffer that is computed anew.
UNUSED_WEIGHTS = re.compile(
    r"(.*\.)?(cls|classifier|decoder|discriminator_predictions|generator_lm_head|"
    r"generator_predictions|head\.(dense|norm)|lm_head|lm_predictions|mask_predictions|mlm|"
    r"pooler|pre_classifier|predictions|qa_outputs|score|sop_classifier|"
    r"vocab_(layer_norm|projector|transform))\..*"
    r"|.*(position_ids|masked_bias|attn\.bias|inv_freq)"
)
# All that have a case lie in these planes; those between are halves of a pair.
CHARACTERS = [chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000]


class _Transformer(Transformer):
    """sentence-transformers' own, which remembers what transformers says of the weights."""

    loading: dict[str, Any]

    def _load_model(self, *args: Any, **kwargs: Any) -> PreTrainedModel:
        loaded: Any = super()._load_model(*args, output_loading_info=True, **kwargs)
        model: PreTrainedModel
        model, self.loading = loaded
        return model


class Reference(ABC):
    """One checkpoint in memory.

    model  sentence-transformers' in float32, without the Normalize at its end: whether a vector
           has length 1 is for a call to say
    spec   what is served
    """

    def __init__(self, model: SentenceTransformer, spec: ModelSpec) -> None:
        self.model = model
        self.spec = spec

    @property
    def size(self) -> int:
        """Weights of the model."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """A copy of the tokenizer as it is served, without padding and truncation."""

    @abstractmethod
    def ids(self, text: str, side: str = "right") -> list[int]:
        """The tokens that are read of a text, cut at a side if it is longer than the limit.

        Raises: UnsupportedModel if the tokenizer gives token types, which are not served.
        """

    @abstractmethod
    def embed(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vector of a text's tokens: (S,) → (D,)."""

    @abstractmethod
    def convert(self) -> onnx_ir.Model:
        """The encoder as an ONNX graph in float32.

        Raises: ConversionFailed; UnsupportedModel.
        """

    def _run(self, features: dict[str, Tensor]) -> NDArray[np.float32]:
        with torch.no_grad():
            vector: NDArray[np.float32] = self.model(features)["sentence_embedding"][0].numpy()
        return vector


class TransformerReference(Reference):
    """A transformer, its pooling, and modules after it."""

    def tokenizer(self) -> Tokenizer:
        """See Reference."""
        served = _unlimited(self.model.tokenizer.backend_tokenizer)
        _drop_needless_lowercase(served)
        return served

    def ids(self, text: str, side: str = "right") -> list[int]:
        """See Reference."""
        self.model.tokenizer.truncation_side = side
        features = self.model.preprocess([text], prompt="")
        if features.get("token_type_ids", torch.zeros(1)).any():
            raise UnsupportedModel("tokenizer.json: texts have token types other than 0")
        ids: list[int] = features["input_ids"][0].tolist()
        return ids

    def embed(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Reference."""
        row = torch.from_numpy(ids)[None]
        return self._run({"input_ids": row, "attention_mask": torch.ones_like(row)})

    def convert(self) -> onnx_ir.Model:
        """See Reference."""
        transformer, pooling, *tail = modules(self.model)
        return convert(transformer.model, _modes(pooling), tail)


class StaticReference(Reference):
    """A table with a row a token, and modules after it.

    In what is served one more token stands before each text, which does not count.
    """

    def tokenizer(self) -> Tokenizer:
        """See Reference."""
        served = _unlimited(self.model.tokenizer)
        # It is in the template alone: no text can hold it.
        served.post_processor = processors.TemplateProcessing(
            single="[NOTHING] $A", special_tokens=[("[NOTHING]", self._nothing)]
        )
        return served

    def ids(self, text: str, side: str = "right") -> list[int]:
        """See Reference."""
        ids = self.model.tokenizer.encode(text, add_special_tokens=False).ids
        most = self.spec.max_length - 1
        return [self._nothing, *(ids[:most] if side == "right" else ids[max(len(ids) - most, 0) :])]

    def embed(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Reference."""
        return self._run({"input_ids": torch.from_numpy(ids[1:]), "offsets": torch.tensor([0])})

    def convert(self) -> onnx_ir.Model:
        """See Reference."""
        static, *tail = modules(self.model)
        weights = static.embedding.weight.detach().float()
        table = weights.new_zeros(max(self._nothing + 1, len(weights)), weights.shape[1])
        table[: len(weights)] = weights
        table[self._nothing] = 0
        return convert_table(table, tail)

    @property
    def _nothing(self) -> int:
        """The number of the token in front, above all others."""
        return 1 + max(self.model.tokenizer.get_vocab(with_added_tokens=True).values())


def modules(model: SentenceTransformer) -> list[Any]:
    """In their order; what they hold depends on their kinds."""
    return list(model)


def _unlimited(tokenizer: Tokenizer) -> Tokenizer:
    """A copy without padding and truncation, which are the step's business."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    return copy


def _drop_needless_lowercase(tokenizer: Tokenizer) -> None:
    """Take off the Lowercase that `do_lower_case` puts first, where what follows lowers as well.

    sentence-transformers puts it before BERT's normalizer too; the windows of long texts are made
    for BERT's alone.
    """
    parts = tokenizer.normalizer
    if not isinstance(parts, normalizers.Sequence) or len(parts) != 2:
        return
    first, rest = parts[0], parts[1]
    if isinstance(first, normalizers.Lowercase) and all(
        rest.normalize_str(lowered) == rest.normalize_str(character)
        for character in CHARACTERS
        if (lowered := first.normalize_str(character)) != character
    ):
        tokenizer.normalizer = rest


def load(
    folder: Path, pooling: PoolingOption | None = None, max_length: int | None = None
) -> Reference:
    """Read a checkpoint that `export.guard` has passed; pooling and max_length given win.

    Raises: CheckpointNotFound, UnsupportedModel.
    """
    weights = weight_files(folder)
    jina_bert.register()
    with quiet():
        try:
            model = _read(folder, pooling, weights.endswith(".safetensors"))
        except UnsupportedModel:
            raise
        except Exception as error:  # of whatever library reads a part of it
            reason = one_line(error).replace(f"{folder}/", "").replace(str(folder), "the folder")
            raise UnsupportedModel(f"the checkpoint cannot be read: {reason}") from error
    model.eval()
    normalized = isinstance(model[-1], Normalize)
    while isinstance(model[-1], Normalize):
        del model[-1]
    if isinstance(model[0], StaticEmbedding):
        return StaticReference(model, _describe_table(model, normalized, max_length, weights))
    transformer = modules(model)[0]
    _check_loaded(transformer)
    _check_tokenizer(model)
    _check_vocabulary(transformer)
    return TransformerReference(model, _describe(model, normalized, max_length, weights))


@contextmanager
def quiet() -> Iterator[None]:
    """The libraries' own messages and bars off: what matters is said in our lines."""
    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _read(folder: Path, pooling: PoolingOption | None, safetensors: bool) -> SentenceTransformer:
    arguments = {"local_files_only": True, "trust_remote_code": False}
    weights = {"dtype": torch.float32, "use_safetensors": safetensors, "weights_only": True}
    entries = module_entries(folder)
    if not entries:
        if pooling is None:
            raise UnsupportedModel(
                "the checkpoint holds no modules.json that says how tokens become one vector: "
                f"give --pooling {{{','.join(POOLINGS)}}}"
            )
        # Pinned to text: of a tokenizer with a chat template it would make a conversation.
        task, output = TRANSFORMER_TASK_DEFAULTS["feature-extraction"]
        transformer = _Transformer(
            str(folder),
            model_kwargs=arguments | weights,
            processor_kwargs=dict(arguments),
            config_kwargs=dict(arguments),
            modality_config=task,
            module_output_name=output,
        )
        return SentenceTransformer(
            modules=[transformer, _pooling(transformer, pooling)], device="cpu"
        )
    kinds = {kind: _Transformer for kind, _ in entries if kind.endswith(".Transformer")}
    model: SentenceTransformer = SentenceTransformer._load_with_module_classes(
        str(folder), kinds, device="cpu", model_kwargs=weights, **arguments
    )
    if pooling is not None and isinstance(model[0], Transformer):
        model[1] = _pooling(model[0], pooling)
    return model


def _pooling(transformer: Transformer, pooling: PoolingOption) -> Pooling:
    return Pooling(transformer.get_embedding_dimension(), POOLINGS[pooling])


def _check_loaded(module: _Transformer) -> None:
    """Raises: UnsupportedModel unless all weights are used, and all that is needed is there."""
    for kind, what in (("missing", "are no weights for"), ("unexpected", "is nothing that uses")):
        keys = [key for key in module.loading[f"{kind}_keys"] if not UNUSED_WEIGHTS.fullmatch(key)]
        if keys:
            named = ", ".join(sorted(keys)[:3]) + (f" and {len(keys) - 3} more" if keys[3:] else "")
            raise UnsupportedModel(
                f"the weights are not those of {module.config.model_type} as transformers has it: "
                f"there {what} {named}"
            )


def _check_tokenizer(model: SentenceTransformer) -> None:
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise UnsupportedModel("tokenizer_config.json: the tokenizer has no fast form")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # made of nothing by transformers
        raise UnsupportedModel("there is no tokenizer.json, nor another vocabulary of a tokenizer")
    if not tokenizer("")["input_ids"]:
        raise UnsupportedModel(
            "tokenizer.json: an empty text gives no token; the post-processor must add a special "
            "token, or such a text has no embedding"
        )


def _check_vocabulary(module: _Transformer) -> None:
    """Raises: UnsupportedModel if a token of the tokenizer has no embedding."""
    embeddings: Any = module.model.get_input_embeddings()
    tokenizer: Any = module.tokenizer
    known = embeddings.num_embeddings
    largest, token = max((number, token) for token, number in tokenizer.get_vocab().items())
    if largest >= known:
        raise UnsupportedModel(
            f"tokenizer.json: the token {token!r} is number {largest}, and the model has weights "
            f"for {known} tokens, from 0 on"
        )


def _describe(
    model: SentenceTransformer, normalized: bool, max_length: int | None, weights: str
) -> ModelSpec:
    transformer, pooling, *_ = modules(model)
    limit = _limit(model, max_length)
    model.max_seq_length = limit
    _check_room(model, limit)
    probe = model.preprocess(["a"], prompt="")
    with torch.no_grad():
        dimensions = model(probe)["sentence_embedding"].shape[1]
    return ModelSpec(
        architecture=transformer.config.model_type,
        dimensions=dimensions,
        max_length=limit,
        pooling="+".join(_modes(pooling)),
        weights=weights,
        **_words(model, normalized),
    )


def _describe_table(
    model: SentenceTransformer, normalized: bool, max_length: int | None, weights: str
) -> ModelSpec:
    with torch.no_grad():
        dimensions = model(model.preprocess(["a"]))["sentence_embedding"].shape[1]
    return ModelSpec(
        architecture="static",
        dimensions=dimensions,
        max_length=max_length or UNLIMITED_TOKENS,
        pooling="mean",
        weights=weights,
        **_words(model, normalized),
    )


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


def _modes(pooling: Pooling) -> tuple[str, ...]:
    modes = pooling.pooling_mode
    return (modes,) if isinstance(modes, str) else tuple(modes)


def _limit(model: SentenceTransformer, max_length: int | None) -> int:
    """The tokens of a text: as given, or what the checkpoint states as far as positions reach."""
    transformer = modules(model)[0].model
    config, reach = transformer.config, _reach(transformer)
    if max_length is not None:
        if reach is not None and max_length > reach:
            raise UnsupportedModel(
                f"config.json: the model has {reach} positions, --max-length {max_length} is more"
            )
        return max_length
    stated = model.max_seq_length  # of sentence_bert_config.json, else of the tokenizer's file
    if stated is None or not math.isfinite(stated) or stated > 10**9:  # 1e30 is "no limit"
        stated = reach or getattr(config, "max_position_embeddings", None)
    if not stated:
        raise UnsupportedModel("the checkpoint states no maximum length: give --max-length")
    return min(int(stated), reach or int(stated))


def _reach(transformer: PreTrainedModel) -> int | None:
    """Positions that the model has; None where they are computed without an end."""
    config = transformer.config
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = {
        rope.get("rope_type"),
        *(part.get("rope_type") for part in rope.values() if isinstance(part, dict)),
    }
    if kinds & GROWING_ROPE:
        original: int = (
            rope.get("original_max_position_embeddings") or config.max_position_embeddings
        )
        return original
    return most_positions(transformer)


def _check_room(model: SentenceTransformer, limit: int) -> None:
    """Raises: UnsupportedModel if a text at the limit would be its special tokens alone."""
    specials = len(model.tokenizer("")["input_ids"])
    if limit <= specials:
        raise UnsupportedModel(
            f"{limit} tokens leave no room for a text beside {specials} special tokens: "
            f"give --max-length, at least {specials + 1}"
        )
