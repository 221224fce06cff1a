"""Checkpoints that are stopped for what they ask, and those that must not be."""

import copy
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint import DEFAULT_CHECKPOINT, resolve
from export.errors import CheckpointNotFound, ExportError, UnsupportedModel
from export.guard import check, check_name
from export.guard.config_keys import CONFIG
from export.guard.known_keys import LEGACY_MODES, MODES, OTHER_MODULES, PLAIN_TEXT, SPELLINGS
from tests.export.published import BERT, MISTAKEN, MISTRAL, NOMIC, QWEN3, SERVED

ST = "sentence_transformers.models"
TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": f"{ST}.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{ST}.Pooling"}
NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{ST}.Normalize"}
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": f"{ST}.Dense"}
STATIC = {"idx": 0, "name": "0", "path": ".", "type": f"{ST}.StaticEmbedding"}
TANH = "torch.nn.modules.activation.Tanh"
SETTINGS = "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"
FILES: dict[str, Any] = {
    "modules.json": [TRANSFORMER, POOLING, NORMALIZE],
    "config.json": BERT,
    SETTINGS: {"max_seq_length": 256, "do_lower_case": False},
    PROMPTS: {"__version__": {"sentence_transformers": "2.0.0"}, "prompts": {}},
    "tokenizer_config.json": {"model_max_length": 512, "tokenizer_class": "BertTokenizer"},
    "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True},
}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a checkpoint's files; those named anew are replaced, None leaves one out."""

    def write_files(changes: dict[str, Any] | None = None) -> Path:
        return write_to(tmp_path / "checkpoint", FILES | (changes or {}))

    return write_files


def write_to(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        if content is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            path.write_bytes(data)
    return folder


def refusal(folder: Path, ignored: tuple[str, ...] = ()) -> str:
    with pytest.raises(UnsupportedModel) as error:
        check(folder, ignored)
    return str(error.value)


def with_modules(*modules: dict[str, Any], **files: Any) -> dict[str, Any]:
    return {"modules.json": list(modules), **files}


def dense(**settings: Any) -> dict[str, Any]:
    config = {"in_features": 4, "out_features": 2, "bias": True, "activation_function": TANH}
    return with_modules(TRANSFORMER, POOLING, DENSE) | {"2_Dense/config.json": config | settings}


def settings(**keys: Any) -> dict[str, Any]:
    return {SETTINGS: keys}


def config(**keys: Any) -> dict[str, Any]:
    return {"config.json": BERT | keys}


def pooling(**keys: Any) -> dict[str, Any]:
    return {"1_Pooling/config.json": {"embedding_dimension": 384} | keys}


def prompts(**keys: Any) -> dict[str, Any]:
    return {PROMPTS: keys}


def tokenizer(**keys: Any) -> dict[str, Any]:
    return {"tokenizer_config.json": keys}


def test_the_default_checkpoint_passes() -> None:
    check(resolve(DEFAULT_CHECKPOINT).folder)


def test_nothing_heavy_is_imported() -> None:
    program = (
        f"import sys; from export.guard import check; from export.checkpoint import resolve\n"
        f"check(resolve({DEFAULT_CHECKPOINT!r}).folder)\n"
        "sys.exit(' '.join({'torch', 'transformers', 'sentence_transformers'} & {*sys.modules}))"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert "" == run.stderr.strip()


@pytest.mark.parametrize("name", SERVED)
def test_published_checkpoints_pass(write: Write, name: str) -> None:
    check(write({"config.json": SERVED[name]}))


@pytest.mark.parametrize("name", MISTAKEN)
def test_published_checkpoints_that_would_be_mistaken_are_refused(write: Write, name: str) -> None:
    content, words = MISTAKEN[name]
    message = refusal(write({"config.json": content}))
    assert message.startswith("config.json: ")
    assert words in message


HONOURED: dict[str, dict[str, Any]] = {
    "nothing but the weights": dict.fromkeys(FILES) | {"config.json": BERT},
    "no settings": {SETTINGS: None, PROMPTS: None, "tokenizer_config.json": None},
    "lower casing": settings(do_lower_case=True, max_seq_length=None),
    "the oldest settings file": {SETTINGS: None, "sentence_xlnet_config.json": {}},
    "a transformer in a folder": {
        "modules.json": [TRANSFORMER | {"path": "0_Transformer"}, POOLING],
        "config.json": None,
        "0_Transformer/config.json": BERT,
        "0_Transformer/sentence_roberta_config.json": {"max_seq_length": 128},
        SETTINGS: None,
    },
    "plain text as 6 writes it": settings(
        transformer_task="feature-extraction",
        modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        module_output_name="token_embeddings",
        processing_kwargs={
            "text": {"padding": True, "truncation": True},
            "chat_template": {"a": 1},
        },
        unpad_inputs=True,
        query_length=None,
    ),
    "keywords": settings(
        model_args={"torch_dtype": "bfloat16", "attn_implementation": "sdpa"},
        tokenizer_args={"model_max_length": 64, "trust_remote_code": True},
        config_args={"use_cache": False, "hidden_dropout_prob": 0.0, "trust_remote_code": True},
    ),
    "pooling of several modes": pooling(pooling_mode=["cls", "mean", "max"], include_prompt=True),
    "a pooling flag beside its mode": pooling(pooling_mode="cls", pooling_mode_cls_token=True),
    "a dense layer": dense(use_residual=True, module_input_name="sentence_embedding"),
    "a dense layer without activation": dense(activation_function="torch.nn.Identity"),
    "modules behind each other": with_modules(
        TRANSFORMER,
        POOLING,
        {"name": "n", "path": "2_Normalize", "type": f"{ST}.Normalize"},
        {"name": "l", "path": "3_LayerNorm", "type": f"{ST}.LayerNorm", "kwargs": []},
        {"name": "d", "path": "4_Dropout", "type": f"{ST}.Dropout"},
    )
    | {"3_LayerNorm/config.json": {"dimension": 384}, "4_Dropout/config.json": {"dropout": 0.1}},
    "static embeddings": with_modules(STATIC, NORMALIZE | {"idx": 1})
    | {"config.json": {"model_type": "model2vec", "normalize": True}, SETTINGS: None},
    "prompts": prompts(
        prompts={"query": "q: ", "passage": None},
        default_prompt_name="passage",
        similarity_fn_name="dot",
        model_type="SentenceTransformer",
        truncate_dim=None,
        requirements={"transformers": ">=4"},
        __version__={"sentence_transformers": "6.2.0.dev0", "pytorch": "2.1+cu118"},
    ),
    "a prompt name that is always there": prompts(default_prompt_name="query"),
    "no maximum": tokenizer(model_max_length=1e30, truncation_side="right", something={"a": 1}),
    "a fast tokenizer of 31 digits": {
        "tokenizer_config.json": b'{"model_max_length": 1000000000000000019884624838656}'
    },
    "code of other tasks": config(auto_map={"AutoModelForMaskedLM": "x.Y", "AutoTokenizer": "x.Z"}),
    "code beside it": {"modeling_x.py": b"raise SystemExit"},
    "a setting that is off": config(some_setting=False, other="", third=[], fourth={"a": None}),
    "no images, adapters or experts": config(
        vision_config=None, audio_config={}, lora_adaptations=[], num_experts=None, n_experts=0
    ),
    "dropout of any name": config(some_dropout=0.5, my_pdrop=0.1),
    "linear rotary positions": {
        "config.json": QWEN3 | {"rope_scaling": {"type": "linear", "factor": 2.0}}
    },
    "yarn": {
        "config.json": QWEN3
        | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 32, "truncate": True}}
    },
    "no causal mask": {"config.json": QWEN3 | {"is_causal": False}},
}


@pytest.mark.parametrize("name", HONOURED)
def test_what_is_honoured_passes(write: Write, name: str) -> None:
    check(write(HONOURED[name]))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_module_is_accepted(write: Write, spelling: str) -> None:
    kind = SPELLINGS[spelling]
    entry = {"name": "x", "path": "x", "type": spelling}
    behind = [TRANSFORMER, POOLING, entry]
    modules = {"Transformer": [entry, POOLING], "StaticEmbedding": [entry], "Pooling": behind[:1]}
    contents = {
        "Dense": {"in_features": 1, "out_features": 1},
        "LayerNorm": {"dimension": 1},
        "Pooling": {"embedding_dimension": 1, "pooling_mode": "cls"},
        "Transformer": BERT,
    }
    files = {"modules.json": modules.get(kind, behind), "x/config.json": contents.get(kind)}
    check(write(files | ({"modules.json": [TRANSFORMER, entry]} if kind == "Pooling" else {})))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_pooling_is_served(write: Write, mode: str) -> None:
    check(write(pooling(pooling_mode=mode)))
    check(write(pooling(**{key: old == mode for key, old in LEGACY_MODES.items()})))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # modules.json
    "a class of the repository": (
        with_modules(TRANSFORMER | {"type": "custom_st.Transformer"}, POOLING),
        'modules.json: entry 0: type asks for the repository\'s own code, "custom_st.Transformer"',
    ),
    "another class of sentence-transformers": (
        with_modules(TRANSFORMER, POOLING, {**NORMALIZE, "type": f"{ST}.Nonsense"}),
        f'modules.json: entry 2: type "{ST}.Nonsense" is no module that is served',
    ),
    "a class of its tools": (
        with_modules({**TRANSFORMER, "type": "sentence_transformers.util.misc.Transformer"}),
        "is no module that is served",
    ),
    "pooling first": (with_modules({**POOLING, "idx": 0}), "modules.json: begins with Pooling"),
    "dense before pooling": (
        with_modules(TRANSFORMER, {**DENSE, "idx": 1}, {**POOLING, "idx": 2}),
        "modules.json: Dense follows the Transformer, where Pooling is served",
    ),
    "two transformers": (
        with_modules(TRANSFORMER, POOLING, {**TRANSFORMER, "idx": 2, "name": "x"}),
        "modules.json: Transformer stands behind Transformer and Pooling",
    ),
    "pooling of static embeddings": (with_modules(STATIC, POOLING), "Pooling stands behind"),
    "a transformer alone": (
        with_modules(TRANSFORMER),
        "modules.json: the Transformer stands alone, and gives a vector for each token",
    ),
    "another order": (
        with_modules({**TRANSFORMER, "idx": 1}, {**POOLING, "idx": 0}),
        "entry 0: idx is 1, but the order of the entries counts",
    ),
    "one name twice": (with_modules(TRANSFORMER, {**POOLING, "name": "0"}), 'name "0" is empty'),
    "a name with a dot": (with_modules({**TRANSFORMER, "name": "a.b"}), 'name "a.b"'),
    "arguments of encode": (
        with_modules({**TRANSFORMER, "kwargs": ["task"]}, POOLING),
        'entry 0: kwargs ["task"] are arguments of encode',
    ),
    "arguments of null": (
        with_modules({**TRANSFORMER, "kwargs": None}, POOLING),
        "kwargs null are",
    ),
    "a flag for a number": (
        with_modules(TRANSFORMER, {**POOLING, "idx": True}),
        "entry 1: idx is true, but the order",
    ),
    "no path": (with_modules({"name": "0", "type": f"{ST}.Transformer"}), "path is missing"),
    "a path that leaves": (with_modules({**TRANSFORMER, "path": "a/../../b"}), "leaves the"),
    "an absolute path": (with_modules({**TRANSFORMER, "path": "/etc"}), "leaves the checkpoint"),
    "an absolute path elsewhere": (with_modules({**TRANSFORMER, "path": "C:\\x"}), "leaves the"),
    "a path with a NUL": (with_modules({**TRANSFORMER, "path": "a\0b"}), "leaves the checkpoint"),
    "a number for a type": (with_modules({**TRANSFORMER, "type": 3}), "type 3 is not a text"),
    "null among the modules": ({"modules.json": [None]}, "entry 0: null stands where an object"),
    "an object of modules": ({"modules.json": {"0": TRANSFORMER}}, "where a list of modules"),
    "no modules": ({"modules.json": []}, "[] stands where a list of modules"),
    "a key of an entry": (with_modules({**TRANSFORMER, "when": 1}), "when 1 is read by nobody"),
    # modules
    "the prompt left out": (pooling(pooling_mode="mean", include_prompt=False), "include_prompt f"),
    "the prompt left out by null": (
        pooling(pooling_mode="mean", include_prompt=None),
        "null would",
    ),
    "an unknown mode": (
        pooling(pooling_mode="median"),
        'pooling_mode "median" is none of cls, max',
    ),
    "a mode of another shape": (pooling(pooling_mode=[["cls"]]), 'pooling_mode ["cls"] is none of'),
    "no mode": (pooling(), "1_Pooling/config.json: pooling_mode [] says not"),
    "a mode of null": (pooling(pooling_mode=None), "pooling_mode null says not how"),
    "flags and a mode that differ": (
        pooling(pooling_mode="cls", pooling_mode_mean_tokens=True),
        "pooling_mode cls and the old flags mean differ",
    ),
    "a flag in words": (pooling(pooling_mode_cls_token="false"), 'token "false" is not true or'),
    "pooling without its width": (
        {"1_Pooling/config.json": {"pooling_mode": "cls"}},
        "embedding_dimension is missing",
    ),
    "a pooling setting of others": (pooling(pooling_mode="cls", top=3), "top 3 is no setting"),
    "dense of tokens": (dense(module_input_name="token_embeddings"), "module_input_name"),
    "dense of null": (dense(module_input_name=None), "module_input_name null would name"),
    "dense into tokens": (dense(module_output_name="token_embeddings"), "module_output_name"),
    "an activation of others": (
        dense(activation_function="my.Swish"),
        '2_Dense/config.json: activation_function "my.Swish" is no activation that is served',
    ),
    "an activation that is none": (dense(activation_function="torch.nn.Linear"), "activation_f"),
    "an activation along a vector": (
        dense(activation_function="torch.nn.modules.activation.Softmax"),
        'activation.Softmax" is no activation that is served',
    ),
    "a function of torch": (dense(activation_function="torch.tanh"), "activation_function"),
    "an activation of null": (dense(activation_function=None), "activation_function null"),
    "dense without a width": (dense(out_features=None), "2_Dense/config.json: out_features is m"),
    "dense of a broken width": (dense(out_features=True), "out_features true is not a whole num"),
    "weights in a configuration": (dense(init_weight=[[1.0]]), "init_weight [[1.0]] belongs"),
    "a dense setting that nobody reads": (dense(gain=2), "--ignore gain"),
    "normalizing tokens": (
        {"2_Normalize/config.json": {"module_input_name": "token_embeddings"}},
        "2_Normalize/config.json: module_input_name",
    ),
    "normalizing null": (
        {"2_Normalize/config.json": {"module_input_name": None}},
        "module_input_name null would name",
    ),
    # sentence_bert_config.json
    "another task": (settings(transformer_task="fill-mask"), 'transformer_task "fill-mask" is the'),
    "no task": (settings(transformer_task=None), "transformer_task null is the task"),
    "messages": (
        settings(modality_config={"text": {}, "message": {}}),
        "modality_config message",
    ),
    "images": (
        settings(modality_config={"image": {}}, module_output_name="token_embeddings"),
        'modality_config "image" is served for text alone',
    ),
    "no text": (settings(modality_config={}, module_output_name="token_embeddings"), "{} is not {"),
    "modalities of null": (settings(modality_config=None), "modality_config null is not"),
    "another layer": (
        settings(
            modality_config={"text": {"method": "forward", "method_output_name": "pooler_output"}},
            module_output_name="token_embeddings",
        ),
        "modality_config",
    ),
    "another output": (settings(module_output_name="scores"), 'module_output_name "scores" names'),
    "query expansion": (settings(query_expansion={"strategy": "min"}), "query_expansion"),
    "a length of queries": (settings(query_length=32), "query_length 32 treats"),
    "a length of documents": (settings(document_length=300), "document_length 300 treats"),
    "another tokenizer": (settings(tokenizer_name_or_path="bert"), "tokenizer_name_or_path"),
    "another model": (settings(model_name_or_path="x"), "model_name_or_path"),
    "a length of zero": (settings(max_seq_length=0), "max_seq_length 0 is not a whole number"),
    "a length in words": (settings(max_seq_length="512"), 'max_seq_length "512" is not a whole'),
    "lower casing in words": (settings(do_lower_case="no"), 'do_lower_case "no" is not true or'),
    "a setting of no Transformer": (settings(pooling="cls"), 'pooling "cls" is no setting'),
    "weights of another size": (
        settings(model_args={"ignore_mismatched_sizes": True}),
        f"{SETTINGS}: model_kwargs: ignore_mismatched_sizes true is no setting",
    ),
    "weights on many devices": (settings(model_kwargs={"device_map": "auto"}), "device_map"),
    "quantized by arguments": (settings(model_kwargs={"load_in_4bit": True}), "load_in_4bit"),
    "a configuration of a list": (settings(config_kwargs=[]), "config_kwargs [] is not an object"),
    "modalities without an output": (
        settings(modality_config={"text": PLAIN_TEXT["text"]}),
        "module_output_name is missing beside modality_config",
    ),
    "processing of nothing": (
        settings(processing_kwargs={"txt": {"a": 1}}),
        'txt {"a": 1} is no s',
    ),
    "keywords of null": (settings(model_kwargs=None), "model_kwargs: null stands where"),
    "arguments twice": (settings(model_args={}, model_kwargs={}), "two names of the same"),
    "another cut by arguments": (
        settings(processor_kwargs={"truncation_side": "left"}),
        "processor_kwargs: truncation_side",
    ),
    "a cut of null by arguments": (
        settings(processor_kwargs={"truncation_side": None}),
        "processor_kwargs: truncation_side null",
    ),
    "special tokens left out": (
        settings(processing_kwargs={"text": {"add_special_tokens": False, "max_length": 3}}),
        "processing_kwargs.text: max_length 3 is no setting",
    ),
    "no truncation": (
        settings(processing_kwargs={"text": {"truncation": False}}),
        "truncation fal",
    ),
    "another configuration by arguments": (
        settings(config_kwargs={"position_embedding_type": "relative_key"}),
        f"{SETTINGS}: config_kwargs: position_embedding_type",
    ),
    "code by arguments": (
        settings(config_kwargs={"auto_map": {"AutoModel": "x.Y"}}),
        "config_kwargs: auto_map asks for the repository's own code, x.Y",
    ),
    "a file that is not read": (
        {"sentence_roberta_config.json": {"max_seq_length": 8}},
        f"sentence_roberta_config.json is not read beside {SETTINGS}",
    ),
    # config_sentence_transformers.json
    "sparse vectors": (prompts(model_type="SparseEncoder"), 'model_type "SparseEncoder" is anoth'),
    "a model of null": (prompts(model_type=None), "model_type null is another kind"),
    "cut vectors": (
        prompts(truncate_dim=256),
        f"{PROMPTS}: truncate_dim 256 cuts the vectors; remove it, export with --matryoshka",
    ),
    "an unknown prompt": (prompts(default_prompt_name="x"), 'default_prompt_name "x" is no name'),
    "a prompt that is none": (prompts(default_prompt_name=""), 'default_prompt_name "" is no name'),
    "prompts of numbers": (prompts(prompts={"q": 3}), 'prompts "q" is 3, not a text'),
    "prompts of null": (prompts(prompts=None), "prompts null is no object"),
    "a list of prompts": (prompts(prompts=["q"]), 'prompts ["q"] is not an object'),
    "similarity of tokens": (prompts(similarity_fn_name="maxsim"), 'fn_name "maxsim" is not cosin'),
    "PyLate": (prompts(skiplist_words=["."]), 'skiplist_words ["."] is PyLate\'s'),
    "a version that is none": (prompts(__version__={"sentence_transformers": "x"}), "no version"),
    "versions of null": (prompts(__version__=None), "__version__ null is no object"),
    # tokenizer_config.json and the processors
    "cut at the beginning": (
        tokenizer(truncation_side="left"),
        'tokenizer_config.json: truncation_side "left" would cut texts at their',
    ),
    "cut at null": (tokenizer(truncation_side=None), "truncation_side null would cut"),
    "a flag for a length": (tokenizer(model_max_length=True), "model_max_length true is not a num"),
    "a tokenizer of the repository": (
        tokenizer(auto_map={"AutoTokenizer": ["a.B", None]}),
        "tokenizer_config.json: auto_map asks for the repository's own code",
    ),
    "a tokenizer of null": (tokenizer(auto_map=None), "auto_map asks for"),
    "a processor": (tokenizer(processor_class="Gemma3Processor"), "processor_class"),
    "MeCab": (tokenizer(tokenizer_class="BertJapaneseTokenizer"), "splits words with MeCab"),
    "a length of a tokenizer in words": (tokenizer(model_max_length="512"), 'length "512" is not'),
    "special tokens as words": (
        tokenizer(split_special_tokens=True),
        "tokenizer_config.json: split_special_tokens true takes special tokens",
    ),
    "an image processor": ({"preprocessor_config.json": {}}, "preprocessor_config.json: prepares"),
    "a processor's file": ({"processor_config.json": {}}, "processor_config.json: prepares"),
    # adapters
    "an adapter": ({"adapter_config.json": {}}, "adapter_config.json is an adapter"),
    "layers without end": (config(num_hidden_layers=10**9), "num_hidden_layers 1000000000 is more"),
    "an adapter of a module": (
        {"1_Pooling/adapter_config.json": {}},
        "1_Pooling/adapter_config.json is an",
    ),
    # config.json
    "no architecture": (config(model_type=None), "config.json: model_type null names no arch"),
    "an architecture of the future": (config(model_type="x"), 'has no model_type "x"'),
    "code for the configuration": (config(auto_map={"AutoConfig": "c.D"}), "own code, c.D"),
    "code for the processor": (
        {"config.json": NOMIC | {"auto_map": {"AutoProcessor": "c.D"}}},
        "own code, c.D",
    ),
    "code without a name": (config(auto_map={"AutoModel": None}), "AutoModel null names no class"),
    "a list of code": (config(auto_map=["x.Y"]), "where an object is expected"),
    "a key that nobody reads": (
        config(use_bidirectional_attention=True),
        "config.json: use_bidirectional_attention true is read by nobody in transformers for bert; "
        "the checkpoint may mean another model. If it changes nothing, give --ignore use_bid",
    ),
    "a window that the architecture has not": (
        {"config.json": MISTRAL | {"model_type": "llama", "sliding_window": 512}},
        "sliding_window 512 is read by nobody in transformers for llama",
    ),
    "another file": (config(configuration_files=["config.4.0.0.json"]), "configuration_files"),
    "a method": (config(to_dict=1), "to_dict is a part of transformers' class"),
    "names for names": (config(attribute_map={"a": "b"}), "attribute_map is a part of"),
    "two names of one": (
        {"config.json": SERVED["msmarco-distilbert-base-v4"] | {"hidden_size": 99}},
        "hidden_size 99 and dim 768 are two names of the same",
    ),
    "attention from elsewhere": (config(_attn_implementation="a/kernel"), '"a/kernel" is no atten'),
    "weights of 8 bits": (config(torch_dtype="float8_e4m3fn"), 'torch_dtype "float8_e4m3fn" is no'),
    "heads cut out": (config(pruned_heads={"1": [0]}), "pruned_heads"),
    "layers of their own": (
        config(per_layer_config={"1": {"hidden_act": "x"}}),
        "per_layer_config",
    ),
    "positions of no kind": (
        {"config.json": QWEN3 | {"rope_parameters": {"rope_type": "x"}}},
        'rope_parameters: rope_type "x" is none of',
    ),
    "positions in a word": (
        {"config.json": QWEN3 | {"rope_scaling": "yarn"}},
        'rope_scaling: "yarn" stands where an object is expected',
    ),
    "positions by the code of others": (
        {"config.json": QWEN3 | {"rope_scaling": {"type": "ntk", "factor": 8.0}}},
        'rope_scaling: rope_type "ntk" is none of',
    ),
    "a factor that is not used": (
        {"config.json": QWEN3 | {"rope_scaling": {"rope_type": "default", "factor": 8.0}}},
        "rope_scaling: factor 8.0 is not used by rope_type default",
    ),
    "a factor of a kind of layer": (
        {"config.json": QWEN3 | {"rope_parameters": {"full_attention": {"factor": 2.0}}}},
        "rope_parameters.full_attention: factor 2.0 is not used",
    ),
    "a factor that is missing": (
        {"config.json": QWEN3 | {"rope_scaling": {"type": "linear"}}},
        "rope_scaling: factor is missing",
    ),
    "part of the head, where all of it turns": (
        {"config.json": QWEN3 | {"partial_rotary_factor": 0.5}},
        "partial_rotary_factor 0.5 is read by nobody",
    ),
    # JSON
    "a list for a file": ({SETTINGS: []}, f"{SETTINGS}: [] stands where an object is expected"),
    "a key twice": ({SETTINGS: b'{"a": 1, "a": 2}'}, f'{SETTINGS}: "a" stands twice'),
    "NaN": ({SETTINGS: b'{"a": NaN}'}, f"{SETTINGS}: NaN is no number of JSON"),
    "beyond all numbers": ({SETTINGS: b'{"a": 1e999}'}, f"{SETTINGS}: 1e999 is no number"),
    "a huge number": ({SETTINGS: b'{"a": ' + b"9" * 9999 + b"}"}, "a number of 9999 digits"),
    "deep brackets": (
        {SETTINGS: b'{"a": ' + b"[" * 99 + b"]" * 99 + b"}"},
        "more than 64 brackets",
    ),
}
UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "no config.json": ({"config.json": None}, "config.json: is missing"),
    "no pooling": ({"1_Pooling/config.json": None}, "1_Pooling/config.json: is missing"),
    "an empty file": ({SETTINGS: b""}, f"{SETTINGS}: is not JSON"),
    "half a file": ({"modules.json": b'[{"idx": 0,'}, "modules.json: is not JSON"),
    "no UTF-8": ({PROMPTS: b'{"a": "\xff"}'}, f"{PROMPTS}: is not JSON"),
    "a byte order mark": ({PROMPTS: b"\xef\xbb\xbf{}"}, f"{PROMPTS}: is not JSON"),
    "brackets without end": ({SETTINGS: b"[" * 500_000}, f"{SETTINGS}: is not JSON: brackets"),
    "a folder for a file": ({SETTINGS: None, f"{SETTINGS}/a": {}}, f"{SETTINGS}: is no file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_be_done_is_refused_by_name(write: Write, name: str) -> None:
    changes, words = REFUSED[name]
    message = refusal(write(changes))
    assert words in message
    assert "\n" not in message
    assert message.split(":")[0].split(" ")[0] in {*FILES, *changes, *SPARE}


SPARE = {"config_sentence_transformers.json", "2_Normalize/config.json"}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named(write: Write, name: str) -> None:
    changes, words = UNREADABLE[name]
    with pytest.raises(CheckpointNotFound) as error:
        check(write(changes))
    assert str(error.value).startswith(words)


def test_a_file_too_large_to_be_one_is_not_read(write: Write) -> None:
    folder = write()
    with (folder / SETTINGS).open("r+b") as file:
        file.truncate(65 * 2**20)

    with pytest.raises(CheckpointNotFound, match="more than 64 MiB"):
        check(folder)


@pytest.mark.parametrize("kind", OTHER_MODULES)
def test_other_modules_are_refused_for_their_reason(write: Write, kind: str) -> None:
    entry = {**NORMALIZE, "type": f"{ST}.{kind}"}
    assert OTHER_MODULES[kind] in refusal(write(with_modules(TRANSFORMER, POOLING, entry)))


@pytest.mark.parametrize(
    "key", [key for key, rule in CONFIG.items() if rule.verdict == "refused" and key != "auto_map"]
)
def test_every_refused_key_of_a_configuration_is_refused(write: Write, key: str) -> None:
    assert f"config.json: {key} " in refusal(write(config(**{key: {"a": "b"}})))


@pytest.mark.parametrize("key", [key for key, rule in CONFIG.items() if rule.verdict == "ignored"])
def test_every_ignored_key_of_a_configuration_passes(write: Write, key: str) -> None:
    check(write(config(**{key: 7})))


@pytest.mark.parametrize("name", ["config_sentence_transformers.json", *list(FILES)[2:3]])
def test_files_that_are_not_read_without_modules_are_named(write: Write, name: str) -> None:
    files = dict.fromkeys(FILES) | {"config.json": BERT, name: {}}
    assert refusal(write(files)).startswith(f"{name} is not read")
    check(write(files), [name])


def test_pooling_is_not_read_without_modules(write: Write) -> None:
    message = refusal(write({"modules.json": None, SETTINGS: None, PROMPTS: None}))
    assert message.startswith("1_Pooling/config.json is not read")


def test_a_key_that_nobody_reads_is_ignored_at_a_word(write: Write) -> None:
    folder = write(config(clever_attention=True, other=2))
    assert "clever_attention" in refusal(folder)
    assert "other" in refusal(folder, ("clever_attention",))
    check(folder, ["clever_attention", "other"])


@pytest.mark.parametrize("key", ["auto_map", "quantization_config", "vision_config"])
def test_what_is_refused_for_a_reason_cannot_be_ignored(write: Write, key: str) -> None:
    assert key in refusal(write(config(**{key: {"AutoModel": "x.Y"}})), (key,))


def test_a_long_value_is_cut(write: Write) -> None:
    assert len(refusal(write(config(mystery="x" * 10_000)))) < 300


def test_a_name_that_would_break_a_line_is_quoted(write: Write) -> None:
    message = refusal(write(config(**{"a\nb\ud800": 1})))
    assert '"a\\nb\\ud800" 1 is read by nobody' in message
    assert message.isprintable()


def test_a_folder_that_is_none_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match="is no folder"):
        check(tmp_path / "x")


# --- folders as nobody wrote them

STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 3.5, 10**30, "", "x", "..", "a\0b", "\ud800", [], {}, [None], [[]]),
    *(
        {"": None},
        {"a": {"b": [1]}},
        ["cls", 3],
        {"AutoModel": "x.Y"},
        {"AutoModel": 3},
        "{}",
        "🙂",
    ),
    *({"text": None}, {"query": []}, "sentence_transformers.models.Dense", "torch.nn.Tanh", "/x"),
]
BYTES = [b"", b"{", b"null", b"[]", b"3", b'"x"', b"\xff\xfe", b"{}" * 2, b"[" * 99_999, b"NaN"]


def broken(chance: random.Random) -> dict[str, Any]:
    """A checkpoint with one to four of its places replaced."""
    files = copy.deepcopy(FILES) | copy.deepcopy(chance.choice([*HONOURED.values()]))
    files["config.json"] = copy.deepcopy(chance.choice([*SERVED.values()]))
    for _ in range(chance.randint(1, 4)):
        present = [name for name in files if files[name] is not None]
        name = chance.choice(present or [SETTINGS])
        if chance.random() < 0.15:
            files[name] = chance.choice([*BYTES, None])
        elif not isinstance(files[name], bytes):
            files[name] = _changed(files[name], chance)
    return files


def _changed(content: Any, chance: random.Random) -> Any:
    """A value with one value somewhere in it replaced, removed or added."""
    if not isinstance(content, dict | list) or not content or chance.random() < 0.1:
        return copy.deepcopy(chance.choice(STRANGE))
    place = chance.choice([*content] if isinstance(content, dict) else [*range(len(content))])
    if chance.random() < 0.1:
        del content[place]
    elif isinstance(content, dict) and chance.random() < 0.3:
        known = [*CONFIG, *LEGACY_MODES, *REFUSED_KEYS]
        content[chance.choice(known)] = copy.deepcopy(chance.choice(STRANGE))
    else:
        content[place] = _changed(content[place], chance)
    return content


REFUSED_KEYS = [
    "rope_scaling",
    "rope_parameters",
    "modality_config",
    "model_kwargs",
    "kwargs",
    "\n",
]


@pytest.mark.parametrize("seed", range(400))
def test_whatever_the_folder_the_answer_is_a_sentence(tmp_path: Path, seed: int) -> None:
    folder = write_to(tmp_path / "x", broken(random.Random(seed)))  # noqa: S311  # repeatable
    assert answer(folder).isprintable()


def answer(folder: Path) -> str:
    try:
        check(folder)
    except ExportError as error:
        return str(error)
    return ""


def test_the_broken_folders_are_of_all_kinds(tmp_path: Path) -> None:
    """Else the fuzz would only ever see one check."""
    answers = [
        answer(write_to(tmp_path / str(seed), broken(random.Random(seed))))  # noqa: S311
        for seed in range(400)
    ]
    files = {text.split(":")[0].split(" ")[0] for text in answers}
    assert answers.count("") > 20
    assert {*FILES} <= files
    assert len({text.split(":")[-1] for text in answers}) > 100


@pytest.mark.parametrize(
    ("checkpoint", "changes", "served"),
    [
        ("hkunlp/instructor-large", {}, False),
        ("hkunlp/instructor-xl", pooling(include_prompt=True), False),
        ("somebody/my-Instructor", {}, False),
        ("somebody/my-Instructor", {"1_Pooling/config.json": None}, False),
        ("somebody/my-Instructor", pooling(include_prompt=True), True),
        ("instructors/bert", {}, True),
        ("somebody/instructor", {"modules.json": None}, True),
    ],
)
def test_a_pooling_that_leaves_the_prompt_out_because_of_a_name_is_refused(
    write: Write, checkpoint: str, changes: dict[str, Any], served: bool
) -> None:
    folder = write(changes)
    if served:
        check_name(checkpoint, folder)
        return
    with pytest.raises(UnsupportedModel, match=r"1_Pooling/config\.json: Instructor models leave"):
        check_name(checkpoint, folder)


def test_the_name_of_a_folder_counts_as_well(write: Write) -> None:
    folder = write()
    check_name(str(folder), folder)

    renamed = folder.rename(folder.with_name("instructor-base"))
    with pytest.raises(UnsupportedModel):
        check_name(str(renamed), renamed)


def test_own_code_is_told_before_an_adapter_that_only_it_knows(write: Write) -> None:
    folder = write(with_modules(TRANSFORMER | {"type": "custom_st.Transformer"}, POOLING))
    (folder / "adapter_config.json").write_text("{}")

    assert 'own code, "custom_st.Transformer"' in refusal(folder)


def test_an_adapter_that_no_module_has_is_applied_by_nobody(write: Write) -> None:
    folder = write({})
    (folder / "checkpoint-500").mkdir()
    (folder / "checkpoint-500/adapter_config.json").write_text("{}")

    check(folder)
