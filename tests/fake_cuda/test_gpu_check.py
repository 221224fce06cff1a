"""`make gpu-check` from its first part to its last, where its figures mean nothing."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from load_tests.gpu.graphs import make
from load_tests.gpu.part import PARTS
from load_tests.gpu.rows import read_rows
from load_tests.gpu.shapes import PACKED, SHAPES, graph_of
from load_tests.gpu.table import section
from tests.fake_cuda.run import ENVIRONMENT, LIBRARIES, ROOT

Told = subprocess.CompletedProcess[str]

pytestmark = pytest.mark.fake_cuda

(MINILM,) = (shape.tiny for shape in SHAPES if shape.name == "minilm")
ROWS = {
    "load": 4,
    "roof": 3,
    **dict.fromkeys(("numerics", "composition", "canary"), 2),
    "engine": 48,
    "one text": 8,
    "queries": 4,
    "memory": 2,
    "peers": 18,
    "service": 3,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with graphs, and onnxruntime-gpu in one that holds nothing else."""
    folder = tmp_path_factory.mktemp("gpu_check")
    make([MINILM], folder / "graphs")
    (folder / "site").mkdir()
    for package in ENVIRONMENT.glob("venv/lib/python3.*/site-packages/onnxruntime*"):
        (folder / "site" / package.name).symlink_to(package)
    return folder


def check(site: Path, graphs: Path, rows: Path, *arguments: str) -> Told:
    options = {"--fake": LIBRARIES, "--site": site, "--graphs": graphs, "--rows": rows}
    given = [str(word) for option in options.items() for word in option]
    command = ["-m", "load_tests.gpu", "--tiny", "--shape", "minilm", *given, *arguments]
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_part_measures_all_of_its_rows_and_a_later_call_none(
    place: Path, tmp_path: Path
) -> None:
    call = partial(check, place / "site", place / "graphs", tmp_path / "rows.jsonl")
    told = call()
    assert told.returncode == 0, told.stdout + told.stderr
    rows = read_rows(tmp_path / "rows.jsonl")
    assert [] == [row for row in rows if row.has_failed]
    assert Counter(row.part for row in rows) == ROWS
    assert all(row.context.fake for row in rows)
    assert rows[0].context.versions["onnxruntime-gpu"]
    assert section(rows).count("\n### ") == len(ROWS)

    others = (part for name in PARTS if name != "roof" for part in ("--part", name))
    assert call(*others).returncode == 0
    assert len(read_rows(tmp_path / "rows.jsonl")) == len(rows)


def test_a_call_ends_when_its_time_is_over(place: Path, tmp_path: Path) -> None:
    call = partial(check, place / "site", place / "graphs", tmp_path / "rows.jsonl")
    told = call("--part", "one-text", "--minutes", "0")
    assert (75, True) == (told.returncode, "call again" in told.stdout), told.stderr


def test_a_row_that_fails_is_told_and_the_others_are_measured(place: Path, tmp_path: Path) -> None:
    graphs = shutil.copytree(place / "graphs", tmp_path / "graphs")
    graph_of(graphs, MINILM, PACKED).write_bytes(b"no graph")
    told = check(place / "site", graphs, tmp_path / "rows.jsonl", "--part", "one-text")
    assert (1, "Not to its end: one text") == (told.returncode, told.stderr.splitlines()[-1])
    rows = read_rows(tmp_path / "rows.jsonl")
    assert [True, False, False, False, False] == [row.has_failed for row in rows]
