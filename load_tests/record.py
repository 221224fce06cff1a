"""Where figures are kept: a section of docs/benchmarks.md, and everything as JSON beside it."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from load_tests.bench.tables import Measurement

MARKER = "<!-- make bench puts the newest run below this line -->"
FOLDER = Path("build/bench")
OUR_VERSIONS = ("nvidia-pytriton", "onnxruntime", "tritonclient", "uvicorn", "numpy")
PEER_VERSIONS = {  # by the environment under build/peers
    "infinity": ("infinity-emb", "torch", "transformers", "optimum", "onnxruntime"),
    "infinity-bettertransformer": ("infinity-emb", "torch", "transformers", "optimum"),
    "sentence-transformers": ("sentence-transformers", "torch", "transformers", "fastapi"),
}


def section(parts: Sequence[str], measurements: Sequence[Measurement]) -> str:
    """A heading, what was measured on, and the parts."""
    rounds = max(run.round for run in measurements) + 1
    return "\n".join(
        [
            f"## {datetime.date.today().isoformat()}, commit {commit()}",
            "",
            f"Machine: {machine()}.",
            f"Versions, ours: {_versions(OUR_VERSIONS)}.",
            *_peer_lines({run.server for run in measurements}),
            f"Medians of {rounds} rounds; latencies are those of single calls.",
            *parts,
            "",
        ]
    )


def keep(
    measurements: Sequence[Measurement], encoders: Sequence[Any], text: str, file: Path | None
) -> None:
    """Write all figures to a JSON file of their own, and the section into a Markdown file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    figures = {"commit": commit(), "machine": machine(), "runs": measurements, "engine": encoders}
    (FOLDER / f"{stamp}.json").write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    if file is not None:
        file.write_text(insert(file.read_text(), text))


def check(file: Path) -> None:
    """Before anything is measured: whether a section can be put into a file.

    Raises: ValueError, OSError.
    """
    insert(file.read_text(), "")


def insert(document: str, text: str) -> str:
    """The document with a section put first; older ones stay."""
    before, marker, after = document.partition(MARKER)
    if not marker:
        raise ValueError(f"no line {MARKER!r}")
    return f"{before}{marker}\n\n{text.strip()}\n\n{after.strip()}".rstrip() + "\n"


def commit() -> str:
    """The commit measured, and whether files differ from it."""
    git = ["git", "describe", "--always", "--abbrev=10", "--dirty", "--exclude=*"]
    found = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip() or "unknown"


def machine() -> str:
    """Processor, cores and memory."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    name = names[0] if names else platform.processor()
    return f"{name}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def _versions(names: Sequence[str]) -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _peer_lines(servers: set[str]) -> list[str]:
    """The versions in the environment of each peer that ran."""
    lines = []
    for peer, names in PEER_VERSIONS.items():
        python = Path("build/peers") / peer / "bin" / "python"
        ran = {"infinity-torch", "infinity-onnx"} if peer == "infinity" else {peer}
        if not ran & servers:
            continue
        program = f"from importlib.metadata import version as v; print(*map(v, {names!r}), sep=';')"
        found = subprocess.run(  # noqa: S603 - an environment that we built
            [python, "-c", program], capture_output=True, text=True, check=True
        )
        pairs = zip(names, found.stdout.strip().split(";"), strict=True)
        lines.append(f"Versions, {peer}: {', '.join(' '.join(pair) for pair in pairs)}.")
    return lines
