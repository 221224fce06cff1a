"""The tables of keys against the sources of the installed libraries."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from export.guard import config_keys, known_keys
from export.guard.known_keys import SPELLINGS, Table
from export.guard.source_keys import architecture, class_parts, reads, sources, tree
from tests.export import library_keys
from tests.export.library_keys import SENTENCE_TRANSFORMERS, TRANSFORMERS, Read

READ = library_keys.collect()
TABLES: dict[str, Table] = {
    "modules.json": known_keys.MODULES,
    "config_sentence_transformers.json": known_keys.SENTENCE_TRANSFORMERS,
    "sentence_bert_config.json": known_keys.TRANSFORMER,
    "tokenizer_config.json": known_keys.TOKENIZER,
    "config.json": config_keys.CONFIG,
    **{f"{name}/config.json": table for name, table in known_keys.MODULE_CONFIGS.items()},
}
ELSEWHERE = {  # in code rather than in a table
    ("config.json", "layer_types"): "mistral with it is ministral",
    ("config.json", "rope_scaling"): "by its own keys, see ROPE",
    ("config.json", "rope_theta"): "read where the architecture has rotary positions",
    ("tokenizer_config.json", "_commit_hash"): "of downloads",
    **{("sentence_bert_config.json", key): "an old name" for key in known_keys.OLD_NAMES},
}


@pytest.mark.parametrize("read", READ, ids=lambda read: f"{read.file} {read.key} {read.place}")
def test_every_key_that_is_read_has_a_verdict(read: Read) -> None:
    assert read.key in TABLES[read.file] or (read.file, read.key) in ELSEWHERE


def test_the_sources_are_found() -> None:
    """A collector that finds nothing would agree with any table."""
    files = {read.file for read in READ}
    assert set(TABLES) - {"StaticEmbedding/config.json"} == files
    assert len(READ) > 150
    assert {"include_prompt", "truncate_dim", "query_expansion"} < {read.key for read in READ}


@pytest.mark.parametrize("name", TABLES)
def test_every_verdict_has_a_reason(name: str) -> None:
    assert all(len(key.reason.split()) > 1 for key in TABLES[name].values())


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("base/modules/transformer.py", "_OLD_TO_NEW", known_keys.OLD_NAMES),
        ("sentence_transformer/modules/pooling.py", "POOLING_MODES", known_keys.MODES),
        (
            "sentence_transformer/modules/pooling.py",
            "_LEGACY_POOLING_MODE_KWARGS",
            known_keys.LEGACY_MODES,
        ),
        (
            "base/modules/transformer.py",
            "_VALID_PROCESSING_KWARGS_KEYS",
            set(known_keys.PROCESSING),
        ),
        (
            "sentence_transformer/model.py",
            "_default_prompts",
            dict.fromkeys(known_keys.DEFAULT_PROMPTS),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_repeated_is_what_sentence_transformers_has(
    path: str, name: str, expected: Any
) -> None:
    assert expected == library_keys.constant(SENTENCE_TRANSFORMERS, path, name)


def test_the_files_of_a_transformer_are_looked_for_in_the_same_order() -> None:
    load = library_keys.function(
        SENTENCE_TRANSFORMERS, "base/modules/transformer.py", "Transformer", "load_config"
    )
    (names,) = (
        ast.literal_eval(node)
        for node in ast.walk(load)
        if isinstance(node, ast.List) and "sentence_bert_config.json" in ast.dump(node)
    )
    assert list(known_keys.TRANSFORMER_FILES) == names


def test_plain_text_is_what_sentence_transformers_takes_for_it() -> None:
    defaults = library_keys.constant(
        SENTENCE_TRANSFORMERS, "base/modules/transformer.py", "TRANSFORMER_TASK_DEFAULTS"
    )
    assert (known_keys.PLAIN_TEXT, "token_embeddings") == defaults["feature-extraction"]


def test_the_similarities_are_those_of_sentence_transformers() -> None:
    text = (sources(SENTENCE_TRANSFORMERS) / "sentence_transformer/model.py").read_text()
    supported = text.partition("SUPPORTED_SIMILARITY_FN_NAMES")[2].partition(")")[0]
    names = re.findall(r"SimilarityFunction\.(\w+)", supported)
    assert {name.lower().removesuffix("_product") for name in names} == {*known_keys.SIMILARITIES}


def test_every_module_class_is_served_or_refused_for_a_reason() -> None:
    of_no_model = {"InputModule", "Module", "ModalityParams", "ProcessingKwargs"}
    of_no_model |= {"QueryExpansionConfig", "TiedTranspose"}
    known = {*known_keys.SERVED_MODULES, *known_keys.OTHER_MODULES}
    assert known == library_keys.module_classes() - of_no_model


def test_every_spelling_that_is_accepted_leads_to_its_class() -> None:
    deprecated = library_keys.constant(
        SENTENCE_TRANSFORMERS, "util/deprecated_import.py", "DEPRECATED_MODULE_PATHS"
    )
    root = sources(SENTENCE_TRANSFORMERS).parent
    for spelling, name in SPELLINGS.items():
        module, _, last = spelling.rpartition(".")
        assert name == last
        path = root / deprecated.get(spelling, deprecated.get(module, module)).replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert name in _names(file), spelling


def test_no_old_spelling_is_forgotten() -> None:
    deprecated = library_keys.constant(
        SENTENCE_TRANSFORMERS, "util/deprecated_import.py", "DEPRECATED_MODULE_PATHS"
    )
    old = {path for path in deprecated if re.match(r"sentence_transformers\.models\.[A-Z]", path)}
    names = {path.rpartition(".")[2] for path in old} - {"InputModule", "Module"}
    served = {name for name in names if f"sentence_transformers.models.{name}" in SPELLINGS}
    assert {*known_keys.SERVED_MODULES} == served
    assert names - served <= {*known_keys.OTHER_MODULES}


def _names(file: Path) -> set[str]:
    """What can be imported from a file."""
    imports = [node for node in tree(file).body if isinstance(node, ast.ImportFrom)]
    return library_keys.defined(file) | {alias.name for node in imports for alias in node.names}


def test_rotary_positions_have_the_keys_that_transformers_checks() -> None:
    checks = {
        match[1]: node
        for node in ast.walk(tree(sources(TRANSFORMERS) / "modeling_rope_utils.py"))
        if isinstance(node, ast.FunctionDef)
        and (match := re.fullmatch(r"_validate_(\w+)_rope_parameters", node.name))
    }
    assert {*config_keys.ROPE, "axial"} == set(checks)
    for kind, keys in config_keys.ROPE.items():
        sets = [
            ast.literal_eval(node) for node in ast.walk(checks[kind]) if isinstance(node, ast.Set)
        ]
        checked = {key for found in sets for key in found if isinstance(key, str)}
        assert {*keys} == checked - {*config_keys.ROPE_COMMON}


def test_files_that_call_for_a_processor_or_an_adapter_are_known() -> None:
    names = {
        node.targets[0].id: node.value.value
        for module in ("utils/__init__.py", "utils/peft_utils.py")
        for node in tree(sources(TRANSFORMERS) / module).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    of_processors = ("FEATURE_EXTRACTOR_NAME", "PROCESSOR_NAME", "VIDEO_PROCESSOR_NAME")
    assert {names[name] for name in of_processors} == {*known_keys.PROCESSOR_FILES}
    assert names["ADAPTER_CONFIG_NAME"] == known_keys.ADAPTER_FILE


@pytest.mark.parametrize("model_type", config_keys.OLD_KEYS)
def test_a_class_takes_by_default_what_the_table_says(model_type: str) -> None:
    known_type = architecture(model_type)
    assert known_type is not None
    for key, old in config_keys.OLD_KEYS[model_type].items():
        assert key not in known_type.keys, f"{key} is read by now"
        assert old.key is None or known_type.defaults[old.key] == old.default


@pytest.mark.parametrize("model_type", sorted(config_keys.NATIVE - {*config_keys.RENAMED}))
def test_what_transformers_took_over_it_has(model_type: str) -> None:
    assert architecture(model_type)


@pytest.mark.parametrize(
    ("model_type", "reads_it", "does_not"),
    [
        ("bert", {"hidden_size", "layer_norm_eps", "is_causal"}, "position_embedding_type"),
        ("qwen3", {"rope_theta", "sliding_window", "is_causal"}, "use_bidirectional_attention"),
        ("gemma3_text", {"use_bidirectional_attention", "rope_theta"}, "attention_chunk_size"),
        ("modernbert", {"global_rope_theta", "global_attn_every_n_layers"}, "rope_theta"),
        ("llama", {"rope_theta", "head_dim"}, "sliding_window"),
        ("distilbert", {"dim", "hidden_size"}, "type_vocab_size"),
        ("gte", {"rope_parameters"}, "pack_qkv"),
    ],
)
def test_what_an_architecture_reads_is_found(
    model_type: str, reads_it: set[str], does_not: str
) -> None:
    known_type = architecture(model_type)
    assert known_type is not None
    assert reads_it <= known_type.keys
    assert does_not not in known_type.keys


def test_an_unknown_architecture_is_none() -> None:
    assert architecture("unheard_of") is None


def test_a_configuration_of_two_classes_has_the_fields_of_both() -> None:
    assert {"to_dict", "attribute_map", "get_text_config"} <= class_parts()
    assert "hidden_size" not in class_parts()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("config.a", {"a"}),
        ("self.config.a + other.text_config.b", {"a", "b"}),
        ("getattr(config, 'a', 1) or hasattr(self.config, 'b')", {"a", "b"}),
        ("kwargs.pop('a'); kwargs.get('b', 2); kwargs['c']", {"a", "b", "c"}),
        ("getattr(self, 'a'); d['b']; getattr(config, name); 'config.c'", set()),
    ],
)
def test_reading_a_configuration_is_recognized(source: str, expected: set[str]) -> None:
    assert expected == set(reads(ast.parse(source)))
