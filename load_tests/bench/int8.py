"""int8 as it was at a commit, as it is now, and OpenVINO's int8, in turns on one core.

All three in one process, which has token ids and no tokenizer; CPU time, not the clock's, so that
neighbours count for little. OpenVINO gets the same packed graph with uint8 weights and quantizes
activations in groups of 64 (uint8_weights.py). The texts of `bulk` are embedded alone as well: how
many have the same bytes, and by how much a number of a unit vector moves at most.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from export.serving import CPU_TOKENS
from export.steps.batching import WIDE
from load_tests.bench import uint8_weights
from load_tests.bench.servers import BUILD, CannotStart, exported_at
from load_tests.bench.tokens import TokenCounter
from load_tests.payloads import CORPUS, equal, take, texts
from load_tests.record import commit, machine

BEFORE = "415c50c"  # its graph, and the micro-batches that it made
PEER = BUILD / "peers" / "openvino"
GROUP = 64  # channels; what came out best in OpenVINO
OPENVINO_TOKENS = 512  # that it is quickest with
TEXTS = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Export what is missing, measure, print a table."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench.int8", description=__doc__)
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)
    try:
        found = measure(options.before, options.rounds)
    except CannotStart as error:
        print(f"int8: {error}", file=sys.stderr)
        return 1
    print(f"{machine()}, commit {commit()}, before {options.before}\n\n{table(found)}")
    return 0


def measure(before: str, rounds: int) -> dict[str, Any]:
    """What peers/int8_engines.py found.

    Raises: CannotStart.
    """
    python = PEER / "bin" / "python"
    if not python.exists():
        raise CannotStart("OpenVINO is not installed: run `make openvino`")
    exact, now = (_model_of(_exported(precision)) for precision in ("fp32", "int8"))
    then = _model_of(exported_at(before, "int8")[0])
    rounded = BUILD / "bench" / "uint8" / "model.onnx"
    rounded.parent.mkdir(parents=True, exist_ok=True)
    uint8_weights.write(exact, rounded)
    job = {
        "exact": str(exact),
        "tokens": CPU_TOKENS,
        "rounds": rounds,
        "engines": {
            f"before, {CPU_TOKENS} tokens": _ours(then, CPU_TOKENS),
            f"now, {CPU_TOKENS} tokens": _ours(now, CPU_TOKENS),
            f"now, {WIDE * CPU_TOKENS} tokens": _ours(now, WIDE * CPU_TOKENS),
            f"OpenVINO, {CPU_TOKENS} tokens": _openvino(rounded, CPU_TOKENS),
            f"OpenVINO, {OPENVINO_TOKENS} tokens": _openvino(rounded, OPENVINO_TOKENS),
        },
        "workloads": _workloads(),
        "alone": ["lone text of 12"],
    }
    written = BUILD / "bench" / "int8.json"
    written.write_text(json.dumps(job))
    program = Path(__file__).parent / "peers" / "int8_engines.py"
    paths = os.pathsep.join(str(path.absolute()) for path in (Path(), Path("export/steps")))
    environ = {**os.environ, "PYTHONPATH": paths, "ORT_DISABLE_TELEMETRY": "1"}
    command = [str(python), str(program), str(written)]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=False)  # noqa: S603
    if done.returncode:
        raise CannotStart("the engines could not be measured")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def table(found: Mapping[str, Any]) -> str:
    """What people read; ratios are medians of those within a round."""
    workloads: Mapping[str, Mapping[str, Sequence[float]]] = found["milliseconds"]
    lines = [
        f"| CPU ms a text (times before) | {' | '.join(workloads)}"
        " | cosine to float32, lowest, mean | same bytes alone | most that a number moves |",
        "| --- |" + " ---: |" * (len(workloads) + 3),
    ]
    for name, numerics in found["numerics"].items():
        cells = [_cell(rows[name], next(iter(rows.values()))) for rows in workloads.values()]
        lines.append(
            f"| {name} | {' | '.join(cells)}"
            f" | {numerics['lowest_cosine']:.4f}, {numerics['mean_cosine']:.5f}"
            f" | {numerics['equal']} of {found['texts']} | {numerics['difference']:.1g} |"
        )
    return "\n".join(lines)


def _cell(spent: Sequence[float], first: Sequence[float]) -> str:
    faster = median(one / two for one, two in zip(first, spent, strict=True))
    return f"{median(spent):.2f} ({faster:.2f})"


def _ours(model: Path, tokens: int) -> dict[str, Any]:
    return {"runtime": "onnxruntime", "model": str(model), "tokens": tokens}


def _openvino(model: Path, tokens: int) -> dict[str, Any]:
    return {"runtime": "openvino", "model": str(model), "tokens": tokens, "group": GROUP}


def _workloads() -> dict[str, list[list[int]]]:
    """Token ids by name; sorted by length, since the encoder puts like lengths together."""
    count = TokenCounter.shared().ids
    corpus = sorted(count(take(2 * TEXTS, texts(CORPUS, "engine"))), key=len)
    return {
        "bulk": list(islice(corpus, 0, None, 2)),
        "texts of 12": count(take(TEXTS, texts(equal(10), "engine/12"))),
        "texts of 240": count(take(TEXTS // 8, texts(equal(238), "engine/240"))),
        "lone text of 12": count(take(TEXTS // 4, texts(equal(10), "engine/lone"))),
    }


def _exported(precision: str) -> Path:
    """build/bench/PRECISION, exported by the code of the working tree if it is not yet.

    Raises: CannotStart.
    """
    repository = BUILD / "bench" / precision
    command = [sys.executable, "-m", "export", "--output", str(repository)]
    command += ["--precision", precision]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:  # noqa: S603
        raise CannotStart(f"the model cannot be exported in {precision}")
    return repository


def _model_of(repository: Path) -> Path:
    (model,) = repository.glob("*-encoder/1/model.onnx")
    return model.absolute()


if __name__ == "__main__":
    sys.exit(main())
