"""What the installed transformers reads of a config.json, found in its sources.

transformers keeps whatever key a config.json holds and says nothing of those that no code asks for.
Which these are is decided by its version and the architecture, so it is read where it is written:
the class that declares the fields, and the code that asks the configuration for them. Nothing of
transformers is imported, because that would load torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROPE_KEYS = {"rope_parameters", "rope_scaling", "rope_theta"}  # taken by every class with RoPE
MASKS = "masking_utils"  # its functions read the configuration for the architectures that call them
# What transformers has not: model_type → its configuration, in a file of that name.
ARCHITECTURES = Path(__file__).parents[1] / "architectures"
OURS = {"jina_bert": "JinaBertConfig"}
GENERATION_ONLY = {"create_masks_for_generate"}


@dataclass(frozen=True, slots=True)
class Architecture:
    """One model_type of the installed transformers."""

    keys: frozenset[str]  # declared by its configuration, or read by its code
    defaults: Mapping[str, Any]  # of declared keys, where they are literals
    aliases: Mapping[str, str]  # other names of declared keys


def sources(package: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed"
    assert spec.origin is not None, f"{package} has no sources"
    return Path(spec.origin).parent


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def architecture(model_type: str) -> Architecture | None:
    """What transformers knows of a model_type, None if it has no such type."""
    name = config_classes().get(model_type)
    folder = _models() / _modules().get(model_type, model_type.replace("-", "_"))
    configurations = sorted(folder.glob("configuration_*.py")) if name else []
    code = sorted(folder.glob("modeling_*.py"))
    if model_type in OURS:
        name, configurations = OURS[model_type], [ARCHITECTURES / f"{model_type}.py"]
        code = configurations
    bodies = list(_class_bodies(name, configurations)) if name else []
    if not bodies:
        return None
    defaults: dict[str, Any] = {}
    for body in reversed(bodies):  # the class itself wins over its bases
        defaults |= dict(_fields(body))
    read = {key for body in bodies for key in reads(body)}
    for path in code:
        read |= set(reads(tree(path))) | _mask_keys(tree(path))
        read |= {"partial_rotary_factor"} & set(path.read_text(encoding="utf-8").split('"'))
    own_rope = any(_defines(body, "convert_rope_params_to_dict") for body in bodies)
    rope = ROPE_KEYS if "rope_parameters" in defaults and not own_rope else set()
    aliases = defaults.pop("attribute_map", {}) or {}
    return Architecture(
        frozenset(defaults.keys() | read | rope | aliases.keys() | set(aliases.values())),
        defaults,
        aliases,
    )


@cache
def config_classes() -> Mapping[str, str]:
    """model_type → name of its configuration class."""
    return _mapping("CONFIG_MAPPING_NAMES")


@cache
def class_parts() -> frozenset[str]:
    """Names that a configuration has as a class: a key of that name would replace code."""
    path = sources("transformers") / "configuration_utils.py"
    (body,) = (node for node in tree(path).body if _is_class(node, "PreTrainedConfig"))
    assert isinstance(body, ast.ClassDef)
    methods = {
        node.name
        for node in body.body
        if isinstance(node, ast.FunctionDef) and not node.decorator_list
    }
    variables = {
        node.target.id
        for node in body.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and "ClassVar" in ast.dump(node.annotation)
    }
    return frozenset(methods | variables) - {"model_type"}


def reads(node: ast.AST) -> Iterator[str]:
    """Keys that code takes from a configuration, or from the arguments of its class."""
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute) and _is_config(child.value):
            yield child.attr
        elif isinstance(child, ast.Call):
            yield from _asked(child)
        elif isinstance(child, ast.Subscript) and _named(child.value, "kwargs"):
            yield from _text(child.slice)


def _asked(call: ast.Call) -> Iterator[str]:
    """`getattr(config, "key", …)`, `hasattr(config, "key")`, `kwargs.pop("key", …)`."""
    function, given = call.func, call.args
    if _named(function, "getattr") or _named(function, "hasattr"):
        yield from _text(given[1]) if _is_config(given[0]) else ()
    elif isinstance(function, ast.Attribute) and function.attr in {"get", "pop"} and given:
        yield from _text(given[0]) if _named(function.value, "kwargs") else ()


def _is_config(node: ast.AST) -> bool:
    """`config`, `self.config`, `text_config`."""
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return isinstance(node, ast.Name | ast.Attribute) and name.endswith("config")


def _named(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _text(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _is_class(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.ClassDef) and node.name == name


def _defines(body: ast.ClassDef, method: str) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == method for node in body.body)


def _class_bodies(name: str, paths: list[Path]) -> Iterator[ast.ClassDef]:
    """A configuration class and its bases, as far as they are of architectures."""
    for path in paths:
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                yield node
                for base in node.bases:
                    if isinstance(base, ast.Name) and base.id != "PreTrainedConfig":
                        yield from _class_bodies(base.id, _homes(base.id, path))


def _homes(name: str, path: Path) -> list[Path]:
    """Where a class that is named in a file is defined: in it, or where it is imported from."""
    imported = [
        _models() / f"{(node.module or '').replace('.', '/')}.py"
        for node in tree(path).body
        if isinstance(node, ast.ImportFrom)
        and node.level == 2
        and name in {alias.name for alias in node.names}
    ]
    return [home for home in imported if home.is_file()] or [path]


def _fields(body: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Names that a class sets, with their values where these are literals."""
    for node in body.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        for target in targets:
            if isinstance(target, ast.Name):
                yield target.id, _literal(getattr(node, "value", None))


def _literal(node: ast.AST | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(ast.unparse(node))
    except ValueError:
        return None


def _mask_keys(module: ast.Module) -> set[str]:
    """What the mask functions that an architecture imports read for it."""
    wanted = {
        alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module == MASKS
        for alias in node.names
    } - GENERATION_ONLY
    functions = tree(sources("transformers") / f"{MASKS}.py").body
    return {
        key
        for function in functions
        if isinstance(function, ast.FunctionDef) and function.name in wanted
        for key in reads(function)
    }


def _models() -> Path:
    return sources("transformers") / "models"


def _modules() -> Mapping[str, str]:
    """model_type → folder, where the name does not say it."""
    return _mapping("SPECIAL_MODEL_TYPE_TO_MODULE_NAME")


@cache
def _mapping(name: str) -> Mapping[str, str]:
    """One of the tables of transformers' auto classes: an ordered dictionary of pairs."""
    for node in tree(_models() / "auto" / "auto_mappings.py").body:
        if isinstance(node, ast.Assign) and _named(node.targets[0], name):
            assert isinstance(node.value, ast.Call)
            return dict(ast.literal_eval(ast.unparse(node.value.args[0])))
    raise AssertionError(f"transformers has no {name}")
