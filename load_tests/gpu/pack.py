"""Everything that `make gpu-check` needs, in pieces for a GPU machine without a network.

`python -m load_tests.gpu.pack` writes loads 1, 2, … into build/gpu_check/pieces, each at most as
large as can be carried at once, and prints their sizes. `unpack.py`, in each of them, puts them
together.
That machine is expected to have Python with torch, transformers and sentence-transformers.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from load_tests.gpu.graphs import make
from load_tests.gpu.shapes import SHAPES
from load_tests.gpu.shrink import shrink
from load_tests.gpu.unpack import INDEX, SITE, WHEELS
from load_tests.record import commit

ROOT = Path(__file__).parents[2]
MEBIBYTE = 2**20
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
MORE_PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_35_x86_64", "manylinux_2_27_x86_64")
CUDA_PROVIDER = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
# Which Python does not load, and the provider of TensorRT.
NEEDLESS = ("libonnxruntime.so", "libonnxruntime_providers_tensorrt.so")
# What the service needs beside what such machines have; the steps of this Triton misread texts
# with a numpy of version 2.
SERVICE = (
    *("httptools", "msgspec", "numpy", "nvidia-pytriton", "orjson", "pybase64"),
    *("python-rapidjson", "starlette", "tritonclient", "uvicorn"),
)
# Without export/__init__.py, which is the exporter itself and wants all that it needs.
SOURCES = (
    *("load_tests/payloads.py", "load_tests/gpu/*.py"),
    *(f"load_tests/bench/{x}.py" for x in ("client", "processes", "servers", "workloads")),
    *(f"export/{x}.py" for x in ("errors", "names", "serving")),
    *("export/steps/**/*.py", "gateway/**/*.py", "gateway/**/*.json", "gateway/rest/pages/*"),
)


def archives(folder: Path, graphs: Path, wheels: Path, architecture: int) -> Iterator[Path]:
    """In the order in which they are needed."""
    yield _archive(folder / "check.tar.xz", _check_files(folder, graphs))
    (gpu_wheel,) = wheels.glob("onnxruntime_gpu-*.whl")
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        yield _archive(
            folder / "onnxruntime.tar.xz", _package_files(gpu_wheel, Path(unpacked), architecture)
        )
    if service := sorted(set(wheels.glob("*.whl")) - {gpu_wheel}):
        names = ((f"{WHEELS}/{wheel.name}", wheel) for wheel in service)
        yield _archive(folder / "service.tar", names)


def split(archives: Iterable[Path], loads: Path, most_bytes: int) -> list[Path]:
    """Loads of at most so many bytes, each with an index and what unpacks it.

    An archive is cut where a load is full.
    """
    shutil.rmtree(loads, ignore_errors=True)
    room, load, index = 0, loads, {}
    made: list[Path] = []
    for archive in archives:
        data = archive.read_bytes()
        begin = number = 0
        while begin < len(data):
            if not room:
                load = loads / str(len(made) + 1)
                load.mkdir(parents=True)
                made.append(load)
                room = most_bytes
            piece = data[begin : begin + room]
            (load / f"{archive.name}.{number}").write_bytes(piece)
            begin, room, number = begin + len(piece), room - len(piece), number + 1
        index[archive.name] = {"pieces": number, "sha256": hashlib.sha256(data).hexdigest()}
    for load in made:
        (load / INDEX).write_text(json.dumps(index, indent=2))
        shutil.copy(Path(__file__).with_name("unpack.py"), load)
    return made


def _archive(path: Path, files: Iterable[tuple[str, Path]]) -> Path:
    """A tar of files by their names in it; compressed if its name says so."""
    # A preset of 6 finds no more in machine code than 9 does, in a third of the memory.
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w") as tar:
        for name, file in files:
            tar.add(file, name)
    return path


def _check_files(folder: Path, graphs: Path) -> Iterator[tuple[str, Path]]:
    """Sources, graphs and what git would tell there."""
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                yield path.relative_to(ROOT).as_posix(), path
    for path in sorted(graphs.rglob("*")):
        if path.is_file() and path.suffix != ".data":
            yield f"build/gpu_check/graphs/{path.relative_to(graphs).as_posix()}", path
    told = folder / "commit.txt"
    told.write_text(commit())
    yield told.name, told
    # What gateway/ asks its version of.
    metadata = folder / "METADATA"
    metadata.write_text("Metadata-Version: 2.1\nName: triton-embeddings\nVersion: 0\n")
    yield "triton_embeddings-0.dist-info/METADATA", metadata


def _package_files(wheel: Path, folder: Path, architecture: int) -> Iterator[tuple[str, Path]]:
    """Of onnxruntime-gpu, with the machine code of one architecture."""
    with zipfile.ZipFile(wheel) as file:
        for name in file.namelist():
            if name.endswith(NEEDLESS) or ".data/" in name:
                continue
            path = Path(file.extract(name, folder))
            if name == CUDA_PROVIDER:
                path = folder / "shrunk.so"
                shrink(folder / name, path, architecture)
            yield f"{SITE}/{name}", path


def download(wheels: Path, python: str, with_service: bool) -> None:
    """Wheels for that machine's Python, unless they are there."""
    versions = _pinned(ROOT / "constraints-gpu.txt")
    wanted = [f"onnxruntime-gpu=={versions['onnxruntime-gpu']}"]
    if with_service:
        pinned = _pinned(ROOT / "constraints.txt")
        wanted += [f"{name}=={pinned[name]}" for name in SERVICE]
    platforms = [f"--platform={each}" for each in (*PLATFORMS, *MORE_PLATFORMS)]
    for each in wanted:
        name, _, version = each.partition("==")
        if any(wheels.glob(f"{name.replace('-', '_')}-{version}-*.whl")):
            continue
        command = ["download", "-q", "--no-deps", "--only-binary=:all:", each, "-d", str(wheels)]
        command += [f"--python-version={python}", "--implementation=cp", *platforms]
        subprocess.run([sys.executable, "-m", "pip", *command], check=True)  # noqa: S603


def _pinned(path: Path) -> dict[str, str]:
    """Version by package of a list of requirements; where there are two, the first."""
    lines = [line.partition(";")[0].strip() for line in path.read_text().splitlines()]
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in reversed(pairs)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m load_tests.gpu.pack", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/gpu_check"))
    parser.add_argument("--architecture", type=int, default=90, help="of the card: 90 for an H100")
    parser.add_argument("--python", default=PYTHON, help="of that machine")
    parser.add_argument("--mebibytes", type=int, default=60, help="of a load")
    parser.add_argument("--no-service", action="store_true", help="without Triton and the gateway")
    options = parser.parse_args(arguments)
    graphs, wheels = options.folder / "graphs", options.folder / "wheels" / options.python
    made = options.folder / "archives"
    shutil.rmtree(made, ignore_errors=True)
    for folder in (wheels, made):
        folder.mkdir(parents=True, exist_ok=True)
    make(SHAPES, graphs)
    download(wheels, options.python, not options.no_service)
    files = list(archives(made, graphs, wheels, options.architecture))
    for archive in files:
        print(f"{archive.name:>20} {archive.stat().st_size / MEBIBYTE:>7.1f} MiB")
    loads = split(files, options.folder / "pieces", options.mebibytes * MEBIBYTE)
    for load in loads:
        size = sum(path.stat().st_size for path in load.iterdir())
        print(f"{load}: {size / MEBIBYTE:.1f} MiB")


if __name__ == "__main__":
    main()
