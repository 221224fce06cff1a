"""The Triton images hold what the steps import, though not what those packages ask for."""

import json
import subprocess
import sys
import tomllib

import pytest

from tests.images.dockerfile import FOLDER

STEPS = FOLDER.parent / "export" / "steps"

# Top-level modules from packages that the steps have loaded, by the packages they are of.
LOADED = f"""
import importlib.metadata, json, sys
sys.path.append({str(STEPS)!r})
import batching, inference, integrity, quantization, tokenization
of = importlib.metadata.packages_distributions()
print(json.dumps([of[name] for name in sys.modules if name in of]))
"""
OF_PYTHON = {"setuptools", "triton-embeddings"}  # loaded at the start of an editable environment


def listed(name: str) -> set[str]:
    lines = (FOLDER / name).read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("found", [{"onnxruntime"}, listed("steps-gpu.txt")], ids=["cpu", "gpu"])
def test_the_steps_find_what_they_import(found: set[str]) -> None:
    said = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, check=True)
    packages = {one for names in json.loads(said.stdout) for one in names} - OF_PYTHON
    either = {"onnxruntime", "onnxruntime-gpu"}  # one module, whichever is installed here
    assert packages - either <= listed("steps.txt")
    assert either & found
    assert either & packages


def test_the_gpu_gets_what_the_extra_asks_for() -> None:
    extras = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())
    asked = extras["project"]["optional-dependencies"]["gpu"]
    assert listed("steps-gpu.txt") == {one.split(">")[0] for one in asked}
