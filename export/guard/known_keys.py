"""Every key of a checkpoint's JSON files: what is made of it, and why.

sentence-transformers loads the checkpoint, and every export is verified against its vectors. What
it honours is therefore HONOURED here by construction. REFUSED is what it or transformers does not
do, does silently otherwise, or decides by what happens to be installed; IGNORED is what changes
no vector. A key in none of the tables is read by nobody. tests/export/test_known_keys.py holds
these tables against the sources of the installed libraries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["honoured", "refused", "ignored"]
Shape = Literal["anything", "text", "flag", "count", "number", "object", "texts"]


@dataclass(frozen=True, slots=True)
class Key:
    """The verdict on one key, and the shape that its value must have; null always passes it."""

    verdict: Verdict
    reason: str  # of a refusal: how its sentence ends
    shape: Shape = "anything"
    passes: tuple[Any, ...] = ()  # values that ask for what is done anyway
    strict: bool = False  # where null, false and what is empty ask for something too


Table = Mapping[str, Key]


def honoured(reason: str, shape: Shape = "anything") -> Key:
    return Key("honoured", reason, shape)


def refused(reason: str, *passes: Any, shape: Shape = "anything", strict: bool = False) -> Key:
    """Active values are refused, but for those that pass; if strict, inactive ones as well."""
    return Key("refused", reason, shape, passes, strict)


def ignored(reason: str, keys: str | None = None, shape: Shape = "anything") -> Any:
    """One key, or the table of several, separated by spaces."""
    key = Key("ignored", reason, shape)
    return key if keys is None else dict.fromkeys(words(keys), key)


def words(text: str) -> list[str]:
    return text.split()


# --- modules.json

INPUT_MODULES = ("Transformer", "StaticEmbedding")
AFTER_POOLING = ("Dense", "Normalize", "LayerNorm", "Dropout")
SERVED_MODULES = (*INPUT_MODULES, "Pooling", *AFTER_POOLING)
OTHER_MODULES = {
    "Asym": "it sends queries and documents through different modules, and a call has one way",
    "Router": "it sends queries and documents through different modules, and a call has one way",
    "BoW": "it counts words of a list of its own instead of tokenizing",
    "WordEmbeddings": "its tokenizer splits words in Python, and no tokenizer.json can say how",
    "WordWeights": "it weighs the words of WordEmbeddings, which are not served",
    "CNN": "it convolves along the tokens, across the ends of texts that are packed together",
    "LSTM": "it runs along the tokens, across the ends of texts that are packed together",
    "WeightedLayerPooling": "it needs the states of all layers, and the graph gives the last",
    "CLIPModel": "it embeds images and texts, and only texts are served",
    "SparseStaticEmbedding": "it gives sparse vectors, which are not served",
    "SparseAutoEncoder": "it gives sparse vectors, which are not served",
    "SpladePooling": "it gives sparse vectors, which are not served",
    "MLMTransformer": "it gives sparse vectors, which are not served",
    "MultiVectorMask": "it gives a vector for each token, which is not served",
    "BaseTokenPooling": "it gives a vector for each token, which is not served",
    "HierarchicalTokenPooling": "it gives a vector for each token, which is not served",
    "LambdaTokenPooling": "it gives a vector for each token, which is not served",
    "LogitScore": "it scores pairs of texts, as a CrossEncoder does",
}


HOMES = {  # module class → the file of 6.2 that defines it
    "Dense": "sentence_transformers.base.modules.dense",
    "Normalize": "sentence_transformers.base.modules.normalize",
    "Transformer": "sentence_transformers.base.modules.transformer",
    "Dropout": "sentence_transformers.sentence_transformer.modules.dropout",
    "LayerNorm": "sentence_transformers.sentence_transformer.modules.layer_norm",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling",
    "StaticEmbedding": "sentence_transformers.sentence_transformer.modules.static_embedding",
}
MOVED = ("Normalize", "sentence_transformers.sentence_transformer.modules.normalize")


def _spellings() -> dict[str, str]:
    """Every name of a served module class that 6.2 imports → the class."""
    found = {}
    for name, file in (*HOMES.items(), MOVED):
        for module in (
            "sentence_transformers.models",  # before 5.4
            f"sentence_transformers.models.{name}",
            "sentence_transformers.sentence_transformer.modules",
            file.rpartition(".")[0],
            file,
        ):
            found[f"{module}.{name}"] = name
    return found


SPELLINGS: Mapping[str, str] = _spellings()

MODULES: Table = {
    "idx": ignored("the order of the entries counts"),
    "name": honoured("what the module is called", "text"),
    "path": honoured("the folder of the module's files", "text"),
    "type": honoured("the module's class", "text"),
    "kwargs": refused(
        "are arguments of encode that the module takes, and a call of the service has none of them",
        [],
        strict=True,
    ),
}

# --- config.json of the modules

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
LEGACY_MODES = {  # sentence-transformers before 6 wrote one flag a mode, joined in this order
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
POOLING: Table = {
    "embedding_dimension": honoured("dimensions of a token's vector", "count"),
    "word_embedding_dimension": honoured("the old name of embedding_dimension", "count"),
    "pooling_mode": honoured("one mode, or several whose vectors are joined"),
    **{key: honoured(f"the old spelling of {mode}", "flag") for key, mode in LEGACY_MODES.items()},
    "include_prompt": refused(
        "would leave the prompt's tokens out of the pooling, and the service does not carry where "
        "a prompt ends",
        True,
        strict=True,
    ),
}

STAGE = "would name a stage other than the text's one vector, and only that is served"
ACTIVATION = re.compile(r"torch\.nn\.(?:modules\.\w+\.)?(\w+)")
ACTIVATIONS = frozenset(  # of torch.nn: classes that need no arguments
    words(
        "CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh Identity LeakyReLU LogSigmoid "
        "Mish PReLU ReLU ReLU6 SELU SiLU Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink"
    )
)
DENSE: Table = {
    "in_features": honoured("dimensions before", "count"),
    "out_features": honoured("dimensions after", "count"),
    "bias": honoured("whether a bias is added", "flag"),
    "activation_function": honoured("the torch.nn class behind the linear layer", "text"),
    "use_residual": honoured("whether the input is added to the output", "flag"),
    "module_input_name": refused(STAGE, "sentence_embedding", strict=True),
    "module_output_name": refused(STAGE, "sentence_embedding", shape="text"),
    "init_weight": refused("belongs into model.safetensors, where weights are read from"),
    "init_bias": refused("belongs into model.safetensors, where weights are read from"),
}
NORMALIZE: Table = {
    "module_input_name": refused(STAGE, "sentence_embedding", strict=True),
    "module_output_name": refused(STAGE, "sentence_embedding", shape="text"),
}
LAYER_NORM: Table = {"dimension": honoured("dimensions that are normalized", "count")}
DROPOUT: Table = {"dropout": ignored("nothing is dropped outside of training", shape="number")}
MODULE_CONFIGS: Mapping[str, Table] = {
    "Pooling": POOLING,
    "Dense": DENSE,
    "Normalize": NORMALIZE,
    "LayerNorm": LAYER_NORM,
    "Dropout": DROPOUT,
    "StaticEmbedding": {},  # reads no config.json
}
NEEDED = {
    "Dense": ("in_features", "out_features"),
    "LayerNorm": ("dimension",),
    "modules.json": ("name", "path", "type"),
}
DROPS_STRANGERS = {"Dense", "Normalize"}  # the other classes stop at a key they do not know

# --- sentence_bert_config.json

TRANSFORMER_FILES = (  # the first that holds a key is read, and no other
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
PLAIN_TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
OLD_NAMES = {
    "model_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "config_args": "config_kwargs",
}
ROLES = "treats queries and documents apart, as multi-vector models do, and a call has no role"
TRANSFORMER: Table = {
    "max_seq_length": honoured("tokens after which a text is cut", "count"),
    "do_lower_case": honoured("lower-cases what the tokenizer does not", "flag"),
    "transformer_task": refused(
        "is the task of another kind of model; an embedding model has feature-extraction",
        "feature-extraction",
        strict=True,
    ),
    "modality_config": honoured("plain text, and anything else is refused", "object"),
    "module_output_name": refused(
        "names an output other than token_embeddings, which the pooling reads",
        "token_embeddings",
        shape="text",
    ),
    "processing_kwargs": honoured("key by key, see PROCESSING", "object"),
    "model_kwargs": honoured("key by key, see MODEL_KWARGS", "object"),
    "processor_kwargs": honoured("key by key, see PROCESSOR_KWARGS", "object"),
    "config_kwargs": honoured("as keys of config.json, over which they win", "object"),
    "query_length": refused(ROLES),
    "document_length": refused(ROLES),
    "query_expansion": refused(ROLES),
    "tokenizer_name_or_path": refused(
        "names a tokenizer in another place; put its files into the checkpoint"
    ),
    "model_name_or_path": refused("names a model in another place; export that one"),
    "backend": ignored("sentence-transformers reads the backend from its caller"),
    "unpad_inputs": ignored("of flash attention; texts are packed without padding here"),
    "cache_dir": ignored("where a download would go"),
}
CUT = "would cut texts at their beginning, where a call says which end goes"
MODEL_KWARGS: Table = {
    "add_pooling_layer": honoured("BERT's pooler, which no vector goes through", "flag"),
    **ignored("the weights are loaded in float32", "dtype torch_dtype"),
    **ignored(
        "asked of from_pretrained by the export itself",
        "attn_implementation cache_dir force_download local_files_only low_cpu_mem_usage "
        "output_loading_info revision subfolder token trust_remote_code use_safetensors",
    ),
}
PROCESSOR_KWARGS: Table = {
    "model_max_length": honoured("wins over max_seq_length", "number"),
    "do_lower_case": honoured("of the tokenizer, whose tokens are compared", "flag"),
    "add_prefix_space": honoured("of the tokenizer, whose tokens are compared", "flag"),
    "strip_accents": honoured("of the tokenizer, whose tokens are compared", "flag"),
    "padding_side": ignored("texts are packed without padding"),
    "use_fast": ignored("transformers 5 has fast tokenizers alone"),
    "clean_up_tokenization_spaces": ignored("of decoding"),
    **ignored(
        "asked of from_pretrained by the export itself",
        "cache_dir force_download local_files_only revision subfolder token trust_remote_code",
    ),
    "truncation_side": refused(CUT, "right", strict=True),
}
KEYWORDS = {"model_kwargs": MODEL_KWARGS, "processor_kwargs": PROCESSOR_KWARGS}
PROCESSING: Table = {  # by kind of input; "common" is for all kinds
    "common": honoured("key by key, see TEXT_PROCESSING", "object"),
    "text": honoured("key by key, see TEXT_PROCESSING", "object"),
    **ignored("of inputs other than plain text", "audio image video chat_template"),
}
TEXT_PROCESSING: Table = {
    "padding": ignored("texts are packed without padding"),
    "return_tensors": ignored("the form of the tokens in memory"),
    "truncation": refused("says another cut than at the end", True, "longest_first", strict=True),
    "logits_to_keep": ignored("of the heads of causal models"),
}

# --- config_sentence_transformers.json

PYLATE = "is PyLate's: it gives a vector for each token, which is not served"
SENTENCE_TRANSFORMERS: Table = {
    "prompts": honoured("names and what is put before a text", "object"),
    "default_prompt_name": honoured("the prompt of texts that come without one", "text"),
    "similarity_fn_name": honoured("what the vectors are compared by", "text"),
    "requirements": honoured("versions, which sentence-transformers insists on", "object"),
    "model_type": refused(
        "is another kind of model, and only a SentenceTransformer gives one vector a text",
        "SentenceTransformer",
        strict=True,
    ),
    "truncate_dim": refused(
        "cuts the vectors; remove it, export with --matryoshka, and a call's `dimensions` does it"
    ),
    "__version__": ignored("versions that wrote the checkpoint", shape="object"),
    **dict.fromkeys(
        words(
            "attend_to_expansion_tokens do_query_expansion document_length document_prefix "
            "query_length query_prefix skiplist_words"
        ),
        refused(PYLATE),
    ),
}
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
DEFAULT_PROMPTS = ("query", "document")  # empty, but always there

# --- tokenizer_config.json and the processors

OWN_CODE = "asks for the repository's own code, {}, which is not run"
FOREIGN_TOKENIZERS = {
    "BertJapaneseTokenizer": "splits words with MeCab or Sudachi",
    "MistralCommonBackend": "needs mistral-common",
    "MistralCommonTokenizer": "needs mistral-common",
    "TransfoXLTokenizer": "splits words in Python",
}
TOKENIZER: Table = {  # other keys are the tokenizer's own, whose tokens are compared
    "auto_map": refused(OWN_CODE),
    "tokenizer_class": honoured("transformers' class, but for FOREIGN_TOKENIZERS", "text"),
    "model_max_length": honoured("tokens after which a text is cut", "number"),
    "truncation_side": refused(CUT, "right", strict=True),
    "processor_class": refused("stands before the tokenizer, for images or sound", shape="text"),
    "split_special_tokens": refused(
        "takes special tokens that a text spells out for plain words, which no tokenizer.json says"
    ),
    "padding_side": ignored("texts are packed without padding"),
    "chat_template": ignored("of messages, and plain text is served"),
}
PROCESSOR_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)
PROCESSOR = "prepares images or sound, and only texts are served"
ADAPTER_FILE = "adapter_config.json"
ADAPTER = (
    "is an adapter, which is loaded only where peft is installed: merge it into the weights "
    "(merge_and_unload) and export those"
)
