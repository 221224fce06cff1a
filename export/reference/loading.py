"""The checkpoint as sentence-transformers runs it: what is exported, and compared with.

sentence-transformers reads all files itself, so that whatever they say is in its vectors. What it
would leave out without a word is stopped before: by `export.guard`, and here in the weights.
"""

import re
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import TRANSFORMER_TASK_DEFAULTS
from sentence_transformers.sentence_transformer.modules import (
    Normalize,
    Pooling,
    StaticEmbedding,
    Transformer,
)
from transformers import PreTrainedModel

from export.architectures import jina_bert
from export.checkpoint import (
    POOLINGS,
    PoolingOption,
    check_pooling,
    module_entries,
    weight_files,
)
from export.errors import UnsupportedModel, told
from export.reference.description import describe, describe_table
from export.reference.model import Reference, StaticReference, TransformerReference, modules
from export.reference.quiet import quiet
from export.reference.soundness import check_finite, check_order, check_shapes, check_words, named

# A class of anybody else's is sentence-transformers' to refuse.
OUR_TRANSFORMER = re.compile(r"sentence_transformers\..*\.Transformer")
# Of a head that no text embedding goes through, or a buffer that is computed anew.
UNUSED_WEIGHTS = re.compile(
    r"(.*\.)?(cls|classifier|decoder|discriminator_predictions|generator_lm_head|"
    r"generator_predictions|head\.(dense|norm)|lm_head|lm_predictions|mask_predictions|mlm|"
    r"pooler|pre_classifier|predictions|qa_outputs|score|sop_classifier|"
    r"vocab_(layer_norm|projector|transform))\..*"
    r"|(.*\.)?(position_ids|masked_bias|attn\.bias|inv_freq)"
)


class _Transformer(Transformer):
    """sentence-transformers' own, which remembers what transformers says of the weights."""

    loading: dict[str, Any]

    def _load_model(self, *args: Any, **kwargs: Any) -> PreTrainedModel:
        # Other shapes are told by name and not by a report to a terminal.
        kwargs |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        loaded: Any = super()._load_model(*args, **kwargs)
        model: PreTrainedModel
        model, self.loading = loaded
        return model


def load(
    folder: Path, pooling: PoolingOption | None = None, max_length: int | None = None
) -> Reference:
    """Read a checkpoint that `export.guard` has passed; pooling and max_length given win.

    Raises: CheckpointNotFound, UnsupportedModel.
    """
    check_pooling(folder, pooling)
    weights = weight_files(folder)
    jina_bert.register()
    with quiet(), told(UnsupportedModel, "the checkpoint cannot be read", folder):
        model = _read(folder, pooling, weights.endswith(".safetensors"))
    model.eval()
    check_order(model)
    normalized = isinstance(model[-1], Normalize)
    while isinstance(model[-1], Normalize):
        del model[-1]
    with quiet(), told(UnsupportedModel, "the checkpoint cannot embed a text", folder):
        return _described(model, normalized, max_length, weights)


def _described(
    model: SentenceTransformer, normalized: bool, max_length: int | None, weights: str
) -> Reference:
    check_words(getattr(model.tokenizer, "backend_tokenizer", model.tokenizer))
    if isinstance(model[0], StaticEmbedding):
        check_finite(model)
        _check_vocabulary(model.tokenizer, model[0].num_embeddings)
        return StaticReference(model, describe_table(model, normalized, max_length, weights))
    transformer = modules(model)[0]
    if not isinstance(transformer, _Transformer):  # made by them of another kind of model
        raise UnsupportedModel(
            "config_sentence_transformers.json: model_type is not SentenceTransformer"
        )
    _check_loaded(transformer)
    check_finite(model)
    _check_tokenizer(model)
    embeddings: Any = transformer.model.get_input_embeddings()
    _check_vocabulary(transformer.tokenizer, embeddings.num_embeddings)
    return TransformerReference(model, describe(model, normalized, max_length, weights))


def _read(folder: Path, pooling: PoolingOption | None, safetensors: bool) -> SentenceTransformer:
    arguments = {"local_files_only": True, "trust_remote_code": False}
    weights = {"dtype": torch.float32, "use_safetensors": safetensors, "weights_only": True}
    entries = module_entries(folder)
    if not entries and pooling is not None:
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
    kinds = {kind: _Transformer for kind, _ in entries if OUR_TRANSFORMER.fullmatch(kind)}
    model: SentenceTransformer = SentenceTransformer._load_with_module_classes(
        str(folder), kinds, device="cpu", model_kwargs=weights, **arguments
    )
    if pooling is not None and isinstance(model[0], StaticEmbedding):
        raise UnsupportedModel(
            f"modules.json: a StaticEmbedding takes the mean, and --pooling {pooling} cannot "
            "change it: leave it out"
        )
    if pooling is not None and isinstance(model[0], Transformer):
        model[1] = _pooling(model[0], pooling)
    return model


def _pooling(transformer: Transformer, pooling: PoolingOption) -> Pooling:
    return Pooling(transformer.get_embedding_dimension(), POOLINGS[pooling])


def _check_loaded(module: _Transformer) -> None:
    """Raises: UnsupportedModel unless all weights are used, and all that is needed is there."""
    check_shapes(module.loading["mismatched_keys"])
    for kind, what in (("missing", "are no weights for"), ("unexpected", "is nothing that uses")):
        keys = [key for key in module.loading[f"{kind}_keys"] if not UNUSED_WEIGHTS.fullmatch(key)]
        if keys:
            raise UnsupportedModel(
                f"the weights are not those of {module.config.model_type} as it is known here: "
                f"there {what} {named(sorted(keys))}"
            )


def _check_tokenizer(model: SentenceTransformer) -> None:
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise UnsupportedModel("tokenizer_config.json: the tokenizer has no fast form")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # made of nothing by transformers
        raise UnsupportedModel("there is no tokenizer.json, nor another vocabulary of a tokenizer")
    if tokenizer.truncation_side != "right":  # of either of its files
        raise UnsupportedModel(
            f"tokenizer_config.json: long texts are cut at the {tokenizer.truncation_side}, and "
            "what is served cuts them at the right unless a call asks for the other end"
        )
    if not tokenizer("")["input_ids"]:
        raise UnsupportedModel(
            "tokenizer.json: an empty text gives no token; the post-processor must add a special "
            "token, or such a text has no embedding"
        )


def _check_vocabulary(tokenizer: Any, known: int) -> None:
    """Raises: UnsupportedModel if a token of the tokenizer has no embedding."""
    largest, token = max((number, token) for token, number in tokenizer.get_vocab().items())
    if largest >= known:
        raise UnsupportedModel(
            f"tokenizer.json: the token {token!r} is number {largest}, and the model has weights "
            f"for {known} tokens, from 0 on"
        )
