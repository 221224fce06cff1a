"""What is documented is what is real: commands, their options, variables, versions."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

from gateway import Settings

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("model_repository/*.md")]
MAKEFILE = (ROOT / "Makefile").read_text()


@cache
def help_of(command: str) -> str:
    """What `--help` of a command prints."""
    return subprocess.run(
        [sys.executable, "-m", *command.split(), "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every `python -m …` of ours with its long options, in backticks or in a code block."""
    text = page.read_text().replace("\\\n", " ")
    command = (
        r"python -m ((?:export|gateway)\S*?(?: (?:keys|usage)(?: [a-z]+)?)?)(?=[`\s])([^`\n]*)"
    )
    for words, rest in re.findall(command, text):
        yield words, re.findall(r"--[a-z-]+", rest)


def targets() -> set[str]:
    """The targets that `make help` lists."""
    return set(re.findall(r"^([a-z-]+):.*## \S", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_exist(page: Path) -> None:
    for module, options in commands(page):
        assert not [option for option in options if option not in help_of(module)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_targets_exist(page: Path) -> None:
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= targets()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_variables_exist(page: Path) -> None:
    settings = {f"GATEWAY_{field.name.upper()}" for field in fields(Settings)}
    assert set(re.findall(r"GATEWAY_[A-Z][A-Z_]*", page.read_text())) <= settings


def test_the_newest_version_of_the_changelog_is_the_declared_one() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest, *_ = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert (newest, version("triton-embeddings")) == (declared, declared)


def test_every_make_target_explains_itself() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == targets() | {"all"}


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-gpu.txt"])
def test_the_constraints_are_exact_and_name_no_place(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert not [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.!]+(; .*)?", pin)]


def test_the_fake_gpu_tests_the_onnxruntime_that_is_installed_on_real_ones() -> None:
    files = ("constraints-gpu.txt", "tests/fake_cuda/requirements.txt")
    pins = [re.findall("^onnxruntime-gpu==.*$", (ROOT / name).read_text(), re.M) for name in files]
    assert pins[0] == pins[1] != []
