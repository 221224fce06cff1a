"""Import direction: who may know whom, read from the sources."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("gateway", "export")
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts): file
    for package in PACKAGES
    for file in sorted((ROOT / package).rglob("*.py"))
}

# Nothing beside these of our own.
MAY_IMPORT = {
    "gateway.errors": set[str](),
    "gateway.inference.embedder": {"gateway.errors"},
    "gateway.settings": {"gateway.errors", "gateway.rest.encoding", "gateway.access.keys"},
    "gateway.inference.rpc_errors": {"gateway.errors"},
    "gateway.local.triton_wheel": set[str](),
    "export.errors": set[str](),
    # Copied beside the steps, where there is no package `export`.
    "export.steps.batching": set[str](),
    "export.steps.inference": set[str](),
    "export.steps.integrity": set[str](),
    "export.steps.quantization": set[str](),
    "export.steps.tokenization": set[str](),
}
HTTP = {"starlette", "uvicorn", "http", "httpx"}
GRPC = {"grpc", "tritonclient"}
MUST_NOT_IMPORT = {
    "gateway.rest.contract": HTTP | GRPC,
    "gateway.rest.encoding": HTTP | GRPC,
    "gateway.rest.endpoints": GRPC,
    "gateway.app": GRPC,
    "gateway.inference.triton": HTTP,
}


def imports(module: str) -> Iterator[str]:
    """Everything a module imports, at its top or inside functions, submodules spelled out."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def our_imports(module: str) -> set[str]:
    return {name for name in imports(module) if name in MODULES}


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_the_lowest_modules_import_no_more_of_ours_than_allowed(module: str) -> None:
    assert our_imports(module) <= MAY_IMPORT[module]


@pytest.mark.parametrize("module", MUST_NOT_IMPORT)
def test_no_protocol_is_known_beyond_its_module(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & MUST_NOT_IMPORT[module]


@pytest.mark.parametrize("module", MODULES)
def test_the_packages_never_import_each_other(module: str) -> None:
    (other,) = set(PACKAGES) - {module.split(".")[0]}
    assert not [name for name in imports(module) if name.split(".")[0] == other]


def test_imports_form_no_circle() -> None:
    graph = {module: our_imports(module) for module in MODULES if "__init__" not in module}
    assert tuple(TopologicalSorter(graph).static_order())


def test_importing_the_gateway_loads_no_model_library() -> None:
    heavy = {"torch", "transformers", "onnx", "onnxruntime", "tokenizers"}
    program = f"import sys, gateway; sys.exit(str({heavy} & set(sys.modules) or ''))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert loaded.stderr.strip() == ""
