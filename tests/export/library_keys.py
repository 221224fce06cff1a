"""Which keys the installed libraries read from a checkpoint's files, found in their sources."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.guard.source_keys import reads, sources, tree

SENTENCE_TRANSFORMERS = "sentence_transformers"
TRANSFORMERS = "transformers"
MODULE_FILES = {
    "Pooling": "sentence_transformer/modules/pooling.py",
    "Dense": "base/modules/dense.py",
    "Normalize": "base/modules/normalize.py",
    "LayerNorm": "sentence_transformer/modules/layer_norm.py",
    "Dropout": "sentence_transformer/modules/dropout.py",
    "Transformer": "base/modules/transformer.py",
}
BASE_MODEL = "base/model.py"
MODEL = "sentence_transformer/model.py"
DECORATORS = "util/decorators.py"


@dataclass(frozen=True, slots=True)
class Read:
    """A key, the file of the checkpoint that holds it, and the line that asks for it."""

    file: str
    key: str
    place: str


def collect() -> list[Read]:
    found = [*_of_modules(), *_of_models(), *_of_configurations(), *_of_tokenizers()]
    return sorted(set(found), key=lambda read: (read.file, read.key, read.place))


def constant(library: str, path: str, name: str) -> Any:
    """A constant of a module, or of a class in it."""
    for node in ast.walk(tree(sources(library) / path)):
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            return ast.literal_eval(node.value)
    raise AssertionError(f"{library}/{path} has no {name}")


def function(library: str, path: str, *names: str) -> ast.FunctionDef:
    """A function, or a method by its class and its name."""
    node: ast.AST = tree(sources(library) / path)
    for name in names:
        assert isinstance(node, ast.Module | ast.ClassDef)
        (node,) = (inner for inner in node.body if getattr(inner, "name", None) == name)
    assert isinstance(node, ast.FunctionDef)
    return node


def asked_of(node: ast.AST, *variables: str) -> Iterator[tuple[str, int]]:
    """Keys that code takes from dictionaries of these names, with their lines."""
    for child in ast.walk(node):
        for key, value in _lookups(child):
            named = isinstance(value, ast.Name) and value.id in variables
            if named and isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, key.lineno


def _lookups(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """`d["key"]`, `d.get("key")`, `"key" in d`."""
    if isinstance(node, ast.Subscript):
        yield node.slice, node.value
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        yield node.left, node.comparators[0]
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"get", "pop", "setdefault"}
        and node.args
    ):
        yield node.args[0], node.func.value


def _keys(node: ast.Dict) -> Iterator[tuple[str, int]]:
    for key in node.keys:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, key.lineno


def _read(library: str, path: str, file: str, keys: Iterator[tuple[str, int]]) -> Iterator[Read]:
    for key, line in keys:
        yield Read(file, key, f"{library}/{path}{f':{line}' if line else ''}")


def _of_modules() -> Iterator[Read]:
    """What the constructors take, and what loading them looks for."""
    for name, path in MODULE_FILES.items():
        file = "sentence_bert_config.json" if name == "Transformer" else f"{name}/config.json"
        parameters = function(SENTENCE_TRANSFORMERS, path, name, "__init__").args
        named = [*parameters.args[1:], *parameters.kwonlyargs]
        keys = iter([(parameter.arg, parameter.lineno) for parameter in named])
        yield from _read(SENTENCE_TRANSFORMERS, path, file, keys)
        keys = asked_of(tree(sources(SENTENCE_TRANSFORMERS) / path), "config", "init_kwargs")
        yield from _read(SENTENCE_TRANSFORMERS, path, file, keys)
    pooling = MODULE_FILES["Pooling"]
    for name in ("config_key_renames", "_LEGACY_POOLING_MODE_KWARGS"):
        keys = iter([(key, 0) for key in constant(SENTENCE_TRANSFORMERS, pooling, name)])
        yield from _read(SENTENCE_TRANSFORMERS, pooling, "Pooling/config.json", keys)
    decorator = function(SENTENCE_TRANSFORMERS, DECORATORS, "transformer_kwargs_decorator")
    for node in ast.walk(decorator):
        if isinstance(node, ast.Dict):
            yield from _read(
                SENTENCE_TRANSFORMERS, DECORATORS, "sentence_bert_config.json", _keys(node)
            )


def _of_models() -> Iterator[Read]:
    for path, name in ((BASE_MODEL, "BaseModel"), (MODEL, "SentenceTransformer")):
        for method, variables, file in (
            ("_load_config_modules", ("module_config",), "modules.json"),
            ("_load_config_modules", ("model_config",), "config_sentence_transformers.json"),
            ("_get_model_type", ("config",), "config_sentence_transformers.json"),
            ("_parse_model_config", ("model_config",), "config_sentence_transformers.json"),
        ):
            if name == "BaseModel" or method == "_parse_model_config":
                node = function(SENTENCE_TRANSFORMERS, path, name, method)
                keys = asked_of(node, *variables)
                yield from _read(SENTENCE_TRANSFORMERS, path, file, keys)


def _of_configurations() -> Iterator[Read]:
    """What transformers reads of any config.json, whatever the architecture."""
    path = "configuration_utils.py"
    (body,) = (
        node
        for node in tree(sources(TRANSFORMERS) / path).body
        if isinstance(node, ast.ClassDef) and node.name == "PreTrainedConfig"
    )
    fields = [
        (node.target.id, node.lineno)
        for node in body.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and "ClassVar" not in ast.dump(node.annotation)
    ]
    yield from _read(TRANSFORMERS, path, "config.json", iter(fields))
    post_init = function(TRANSFORMERS, path, "PreTrainedConfig", "__post_init__")
    keys = asked_of(post_init, "kwargs")
    yield from _read(TRANSFORMERS, path, "config.json", keys)
    for file in (path, "models/auto/configuration_auto.py"):
        keys = asked_of(tree(sources(TRANSFORMERS) / file), "config_dict")
        yield from _read(TRANSFORMERS, file, "config.json", keys)
    file = "models/auto/processing_auto.py"
    module = tree(sources(TRANSFORMERS) / file)
    asked = set(reads(module)) - {key for key, _ in asked_of(module, "kwargs")}
    yield from _read(TRANSFORMERS, file, "config.json", iter([(key, 0) for key in asked]))
    generation = "generation/configuration_utils.py"
    defaults = function(
        TRANSFORMERS, generation, "GenerationConfig", "_get_default_generation_params"
    )
    for node in ast.walk(defaults):
        if isinstance(node, ast.Dict):
            yield from _read(TRANSFORMERS, generation, "config.json", _keys(node))


def _of_tokenizers() -> Iterator[Read]:
    for path, variable in (
        ("models/auto/processing_auto.py", "config_dict"),
        ("models/auto/tokenization_auto.py", "tokenizer_config"),
    ):
        keys = asked_of(tree(sources(TRANSFORMERS) / path), variable)
        yield from _read(TRANSFORMERS, path, "tokenizer_config.json", keys)


def module_classes() -> set[str]:
    """Every module class of sentence-transformers, under every name that its files give it."""
    folders = sources(SENTENCE_TRANSFORMERS).glob("*/modules/*.py")
    return {name for path in folders for name in defined(path) if not name.startswith("_")}


def defined(path: Path) -> set[str]:
    """Classes of a file, and other names that it gives them."""
    nodes = tree(path).body
    classes = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    return classes | {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        for target in node.targets
        if isinstance(target, ast.Name) and node.value.id in classes
    }
