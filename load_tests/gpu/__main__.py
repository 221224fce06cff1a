"""Measures on a machine with a GPU what nothing else can tell; `make gpu-check`.

Each row is printed and kept at once. A call ends after nine minutes; the next one goes on with
what is missing. README.md beside this file says what each part measures, and how it gets to a
machine without a network.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from load_tests.gpu.part import PARTS, TIME_IS_OVER, Order
from load_tests.gpu.rows import Context, read_rows
from load_tests.gpu.shapes import SHAPES

ROOT = Path(__file__).parents[2]
COMMIT = ROOT / "commit.txt"  # where there is no git: written by `pack`
SITE = ROOT / "site"  # where `unpack` puts packages
FAKE_CARD = "fake CUDA"
QUIET = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if all was measured, 75 if the time was over, 1 if a part or a row failed."""
    options = _parser().parse_args(arguments)
    context = _context(options.fake)
    deadline = time.time() + 60 * options.minutes
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    print(f"{context.card}, driver {context.driver or 'unknown'}, commit {context.commit}")
    failed = []
    for name in options.part or PARTS:
        order = Order(
            part=name,
            rows=str(options.rows),
            graphs=str(options.graphs),
            deadline=deadline,
            again=options.again,
            tiny=options.tiny,
            shapes=options.shape or [shape.name for shape in SHAPES],
            context=asdict(context),
        )
        began = time.monotonic()
        status = _run(order, _environment(options, PARTS[name].on_cuda))
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        if status == TIME_IS_OVER:
            print(f"The time is over within {name}: call again for the rest")
            return TIME_IS_OVER
        failed += [name] if status else []
    failed += [row.part for row in read_rows(options.rows) if row.is_failure_of(context)]
    if failed:
        print(f"Not to its end: {', '.join(dict.fromkeys(failed))}", file=sys.stderr)
    return int(bool(failed))


def _run(order: Order, environment: Mapping[str, str]) -> int:
    command = [sys.executable, "-m", "load_tests.gpu.part", json.dumps(asdict(order))]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode  # noqa: S603


def _environment(options: argparse.Namespace, on_cuda: bool) -> dict[str, str]:
    """Of a part: where onnxruntime-gpu is, and on a fake device the libraries that are one."""
    environment = dict(os.environ) | QUIET
    paths = [str(ROOT)]
    if on_cuda and options.site.exists():
        paths.insert(0, str(options.site.absolute()))
    if on_cuda and options.fake:
        environment["LD_LIBRARY_PATH"] = str(options.fake.absolute())
    inherited = os.environ.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([*paths, *([inherited] if inherited else [])])
    return environment


def _context(fake: Path | None) -> Context:
    card, driver = (FAKE_CARD, "") if fake else _card()
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return Context(card, driver, _commit(), now, fake=fake is not None)


def _card() -> tuple[str, str]:
    """Name and driver of the first GPU.

    Raises: SystemExit without one.
    """
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"nvidia-smi shows no GPU ({error}): FAKE=1 runs it without one") from None
    name, driver = told.splitlines()[0].split(", ")
    return name, driver


def _commit() -> str:
    if COMMIT.exists():
        return COMMIT.read_text().strip()
    from load_tests.record import commit

    return commit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m load_tests.gpu", description=__doc__)
    parser.add_argument("--part", action="append", choices=list(PARTS), help="this one; may repeat")
    shapes = [shape.name for shape in SHAPES]
    parser.add_argument("--shape", action="append", choices=shapes, help="this one; may repeat")
    parser.add_argument("--rows", type=Path, default=Path("build/gpu_check/rows.jsonl"))
    parser.add_argument("--graphs", type=Path, default=Path("build/gpu_check/graphs"))
    parser.add_argument("--site", type=Path, default=SITE, help="folder with onnxruntime-gpu")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which no row is begun")
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--fake", type=Path, help="libraries of the fake CUDA: no figure counts")
    parser.add_argument("--tiny", action="store_true", help="graphs are those of `graphs --tiny`")
    return parser


if __name__ == "__main__":
    sys.exit(main())
