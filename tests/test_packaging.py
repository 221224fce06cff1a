"""The wheel holds our packages and nothing else, and nobody else claims their names."""

import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from shutil import copytree, ignore_patterns
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
DISTRIBUTION = "triton-embeddings"
PAGE_SUFFIXES = {".html", ".css", ".js", ".svg"}


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Paths inside a wheel that is built from a copy: a build in the tree leaves things behind."""
    tree = tmp_path_factory.mktemp("build") / "tree"
    copytree(ROOT, tree, ignore=ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__"))
    subprocess.run(
        [sys.executable, "-c", "import setuptools.build_meta as b; b.build_wheel('dist')"],
        cwd=tree,
        capture_output=True,
        check=True,
    )
    (wheel,) = (tree / "dist").glob("*.whl")
    return ZipFile(wheel).namelist()


def test_the_wheel_holds_exactly_our_packages(wheel_files: list[str]) -> None:
    top = {path.split("/")[0] for path in wheel_files if ".dist-info/" not in path}
    assert top == {"gateway", "export"}


def test_every_module_every_step_and_every_page_is_in_the_wheel(wheel_files: list[str]) -> None:
    modules = [
        str(file.relative_to(ROOT))
        for package in ("gateway", "export")
        for file in (ROOT / package).rglob("*.py")
    ]
    pages = ROOT / "gateway" / "rest" / "pages"
    parts = [str(f.relative_to(ROOT)) for f in pages.iterdir() if f.suffix in PAGE_SUFFIXES]
    steps = [f"export/{file.relative_to(ROOT)}" for file in ROOT.glob("model_repository/*/1/*.py")]
    assert steps
    assert parts
    assert {*modules, *steps, *parts, "gateway/py.typed", "export/py.typed"} <= set(wheel_files)


def test_no_weights_are_in_the_wheel(wheel_files: list[str]) -> None:
    assert not [path for path in wheel_files if path.endswith((".onnx", ".safetensors", ".bin"))]


@pytest.mark.parametrize("package", ["gateway", "export"])
def test_nobody_else_claims_our_import_names(package: str) -> None:
    assert set(packages_distributions()[package]) == {DISTRIBUTION}
