"""Import direction: who may know whom, read from the sources."""

import ast
import re
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

# From the ground up. A room is a folder: its modules know those of their own room and of lower
# floors; rooms of one floor do not know each other.
GATEWAY = [
    {"gateway.errors", "gateway.api_keys", "gateway.listeners"},
    {"gateway.settings"},
    {"gateway.redis_client"},
    {"gateway.access", "gateway.telemetry", "gateway.local"},
    {"gateway.inference", "gateway.usage"},
    {"gateway.caching", "gateway.rest"},
    {"gateway.app"},
    {"gateway.server", "gateway"},
    {"gateway.__main__", "gateway.local.__main__"},
]
EXPORT = [
    {"export.architectures", "export.errors", "export.steps", "export.writing"},
    {"export.checkpoint_files", "export.guard", "export.hub_errors"},
    {"export.hub"},
    {"export.checkpoint", "export.names", "export.translations"},
    {"export.graph", "export.serving"},
    {"export.arguments", "export.engines", "export.reference", "export.repository"},
    {"export.contents", "export.long_texts", "export.manifest", "export.sample"},
    {"export.cut_texts", "export.output", "export.verification"},
    {"export.canary", "export.precision"},
    {"export.encoder"},
    {"export.pipeline"},
    {"export.__main__", "export"},
]
FLOORS = {
    room: floor
    for house in (GATEWAY, EXPORT)
    for floor, rooms in enumerate(house)
    for room in rooms
}
# Copied beside the steps, where there is no package `export`: they know nothing of ours.
COPIED = [module for module in MODULES if re.match(r"export\.steps\.\w", module)]
HTTP = {"starlette", "uvicorn", "http", "httpx"}
GRPC = {"grpc", "tritonclient"}
MUST_NOT_IMPORT = {
    "gateway.rest.contract": HTTP | GRPC,
    "gateway.rest.parsing": HTTP | GRPC,
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
            assert node.module is not None
            name = node.module
            if node.level:  # within a package that is copied as a whole
                assert node.level == 1, f"{module} imports from above its package"
                assert module in COPIED, f"{module} imports relatively"
                name = f"{module.rpartition('.')[0]}.{name}"
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def our_imports(module: str) -> set[str]:
    names = {name for imported in imports(module) for name in (imported, f"{imported}.__init__")}
    return names & MODULES.keys()


def room_of(module: str) -> str:
    """The folder or, on top and on the ground, the module itself."""
    name = module
    while name not in FLOORS:
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("module", MODULES)
def test_no_room_looks_up(module: str) -> None:
    room = room_of(module)
    others = {room_of(name) for name in our_imports(module)} - {room}
    assert not {other for other in others if FLOORS[other] >= FLOORS[room]}


@pytest.mark.parametrize("module", COPIED)
def test_what_is_copied_beside_a_step_knows_nothing_of_ours(module: str) -> None:
    """But for its own package, which is copied with it."""
    package = re.match(r"export\.steps\.\w+\.", module)
    others = our_imports(module)
    assert not {name for name in others if not package or not name.startswith(package[0])}


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
