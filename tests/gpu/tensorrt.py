"""python -m tests.gpu.tensorrt FOLDER: each shape exported for TensorRT, parsed and built.

By TensorRT-RTX, which builds engines without a GPU, though none for Hopper; what parses and builds
there is a graph that TensorRT takes, and nothing is said of its numbers.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from export import ExportOptions, Serving, export_model
from export.steps.inference.profiles import Profile, Sizes
from tests.fake_cuda.run import ROOT
from tests.gpu.shapes import MAX_LENGTH, SHAPES, read_arguments

ENVIRONMENT = ROOT / "build" / "tensorrt_rtx"
PROGRAM = Path(__file__).with_name("tensorrt_program.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row a shape as soon as it is known; exit code 1 if one was not built."""
    folder, names = read_arguments("tests.gpu.tensorrt", __doc__, arguments)
    subprocess.run(["make", f"{ENVIRONMENT.relative_to(ROOT)}/installed"], cwd=ROOT, check=True)  # noqa: S607
    print("| shape | precision | layers | built in, s | engine, MiB | peak, MiB |")
    print("| --- | --- | ---: | ---: | ---: | ---: |", flush=True)
    failed = 0
    for name in names:
        precision, built = build(name, folder)
        cells = [built.get(key) for key in ("layers", "seconds", "engine_mib", "peak_mib")]
        print(f"| {name} | {precision} | {' | '.join(map(str, cells))} |", flush=True)
        print(*built.get("errors", []), sep="\n", end="", file=sys.stderr)
        failed += not built.get("engine_mib")
    return int(failed > 0)


def build(name: str, folder: Path) -> tuple[str, dict[str, list[str]]]:
    """The precision of a shape, and what came of it."""
    checkpoint = folder / "checkpoints" / name
    if not checkpoint.exists():
        SHAPES[name].write(checkpoint)
    serving = Serving(f"{name}-tensorrt", target="tensorrt")
    manifest = export_model(
        ExportOptions(output=folder / "models", serving=serving, checkpoint=str(checkpoint)),
        report=lambda line: None,
    ).manifest
    step = folder / "models" / f"{serving.name}@{manifest.edition}-encoder"
    config = (step / "config.pbtxt").read_text()
    model_onnx = step / "1" / "model.onnx"
    finished = subprocess.run(
        [ENVIRONMENT / "bin" / "python", PROGRAM, model_onnx, json.dumps(shapes(model_onnx))],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return "bf16" if "bf16" in config else "fp16", json.loads(finished.stdout.splitlines()[-1])


def shapes(model_onnx: Path) -> dict[str, list[list[int]]]:
    """Of each input, as the encoder of TensorRT asks for them."""
    profile = Profile.of(16_384, MAX_LENGTH)
    inputs = onnx.load(model_onnx, load_external_data=False).graph.input
    sizes = {
        value.name: [
            each.dim_param or str(each.dim_value) for each in value.type.tensor_type.shape.dim
        ]
        for value in inputs
    }
    found: dict[str, list[list[int]]] = {name: [] for name in sizes}
    for of_a_run in (profile.least, profile.usual, profile.most):
        for name, shape in _read(of_a_run, sizes).items():
            found[name].append(shape)
    return found


def _read(sizes: Sizes, inputs: dict[str, list[str]]) -> dict[str, list[int]]:
    words = (word.split(":") for word in sizes.shapes(inputs).split(","))
    return {name: list(map(int, shape.split("x"))) for name, shape in words}


if __name__ == "__main__":
    sys.exit(main())
