"""What `make` hands on: the API key to those that need it, options to the export."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SECRET = "te-secret"  # noqa: S105 - of nothing

# Stands for pip and for every Python: notes how it was called, and by whom.
NOTE = """#!{python}
import json, os, pathlib, sys
parent = pathlib.Path("/proc", str(os.getppid()))
called = {{
    "arguments": sys.argv,
    "environment": dict(os.environ),
    "parent": (parent / "cmdline").read_text().split("\\0")[0],
    "parents_environment": (parent / "environ").read_text(),
}}
with open("{notes}", "a") as notes:
    print(json.dumps(called), file=notes)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The Makefile with what it needs, and commands that only take notes."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "constraints-gpu.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / "gpu-bin").mkdir()
    for name in ("bin/python", "bin/pip", "gpu-bin/python", "gpu-bin/pip"):
        program = tmp_path / name
        program.write_text(NOTE.format(python=sys.executable, notes=tmp_path / "notes"))
        program.chmod(0o755)
    (tmp_path / "build" / "gpu").mkdir(parents=True)
    return tmp_path


def make(tree: Path, *arguments: str, **environment: str) -> Iterator[dict[str, Any]]:
    """Each command that `make` started, in order."""
    outer = {k: v for k, v in os.environ.items() if k not in ("API_KEY", "GATEWAY_API_KEYS")}
    subprocess.run(
        ["make", "-j4", "BIN=bin", "GPU_BIN=gpu-bin", "PYTHON=bin/python", *arguments],  # noqa: S607
        cwd=tree,
        env=outer | environment,
        capture_output=True,
        check=True,
    )
    for line in (tree / "notes").read_text().splitlines():
        yield json.loads(line)


def knows(called: dict[str, Any]) -> bool:
    return SECRET in json.dumps([called["arguments"], called["environment"]])


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ((f"API_KEY={SECRET}",), {}),
        ((f"GATEWAY_API_KEYS={SECRET}",), {}),
        ((), {"API_KEY": SECRET}),
        ((), {"GATEWAY_API_KEYS": SECRET}),
    ],
    ids=["API_KEY=…", "GATEWAY_API_KEYS=…", "API_KEY", "GATEWAY_API_KEYS"],
)
def test_only_the_gateway_is_told_the_key(
    tree: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    *before, gateway = make(tree, "serve", *arguments, **environment)
    assert gateway["arguments"][1:3] == ["-m", "gateway.local"]
    assert gateway["environment"]["GATEWAY_API_KEYS"] == SECRET
    assert SECRET not in json.dumps(gateway["arguments"])
    assert gateway["parent"] == "make"  # no shell between
    assert {"pip", "python"} <= {Path(called["arguments"][0]).name for called in before}
    assert not [called for called in before if knows(called)]
    shells = [called for called in before if called["parent"] != "make"]
    assert not [called for called in shells if SECRET in called["parents_environment"]]


def test_without_a_key_the_gateway_is_told_none(tree: Path) -> None:
    *_, gateway = make(tree, "serve", "REPOSITORY=a folder", "HOST=::1", "PORT=9")
    assert gateway["environment"]["GATEWAY_API_KEYS"] == ""
    options = ["--repository", "a folder", "--host", "::1", "--port", "9"]
    assert gateway["arguments"][3:] == options


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [((f"API_KEY={SECRET}",), {}), ((), {"API_KEY": SECRET}), ((), {})],
    ids=["API_KEY=…", "API_KEY", "build/api_key"],
)
def test_a_load_test_takes_the_key_that_is_given_or_kept(
    tree: Path, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    (tree / "build" / "api_key").write_text(f"{'kept' if arguments or environment else SECRET}\n")
    *before, locust, report = make(tree, "load", "PORT=9", *arguments, **environment)
    assert locust["arguments"][1:3] == ["-m", "locust"]
    assert "http://127.0.0.1:9" in locust["arguments"]
    assert locust["environment"]["API_KEY"] == SECRET
    assert not [called for called in (*before, report) if knows(called)]


def test_the_export_is_given_what_make_is_given(tree: Path) -> None:
    given = ("MODEL=a/b", "OUTPUT=m", "MAX_LENGTH=90", "OPTIONS=--pooling mean --ignore x")

    *_, export = make(tree, "export", *given)

    assert [
        *("-m", "export", "a/b", "--output", "m", "--precision", "fp32"),
        *("--max-length", "90", "--pooling", "mean", "--ignore", "x"),
    ] == export["arguments"][1:]


def test_an_export_for_a_gpu_chooses_its_precision_itself(tree: Path) -> None:
    *_, export = make(tree, "export", "TARGET=cuda")
    assert "bin/python" == export["arguments"][0]
    assert [
        *("-m", "export", "--output", "build/repositories/default-cuda", "--target", "cuda")
    ] == export["arguments"][1:]


def test_a_gpu_is_served_from_an_environment_without_the_onnxruntime_of_cpus(tree: Path) -> None:
    called = [each["arguments"] for each in make(tree, "serve", "TARGET=cuda", "PRECISION=bf16")]
    (export,) = [each for each in called if "export" in each]
    assert ["--target", "cuda", "--precision", "bf16"] == export[-4:]
    (install,) = [each for each in called if "gpu-bin/pip" in each[0]]
    assert ".[triton,gpu,token-ids]" == install[-1]
    assert "constraints-gpu.txt" in install
    assert ["gpu-bin/python", "-m", "gateway.local"] == called[-1][:3]
    assert "build/repositories/default-cuda" in called[-1]


def test_what_is_exported_is_served_on_a_gpu_without_the_exporter(tree: Path) -> None:
    called = [each["arguments"] for each in make(tree, "serve", "TARGET=cuda", "REPOSITORY=r")]
    assert not [each for each in called if "bin/pip" in each[0] and "gpu-bin" not in each[0]]
    assert "gpu-bin/python" == called[-1][0]
