"""Builds the fake CUDA libraries: `python -m tests.fake_cuda.build PROVIDER FOLDER`.

PROVIDER is the wheel's libonnxruntime_providers_cuda.so. What it wants of CUDA and no source here
has becomes a stub, which fails when it is called, and is listed in FOLDER/stubs.txt.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent / "libraries"
DRIVER = "libcuda.so.1"
# The sources of each library, by the name that the provider is linked with.
LIBRARIES = {
    "libcudart.so.13": "cudart/*.cpp",
    "libcublas.so.13": "cublas.cpp",
    "libcublasLt.so.13": "cublaslt.cpp",
    "libcurand.so.10": "curand.cpp",
    DRIVER: "driver.cpp",
}
# cudaErrorNotSupported; for cuBLAS an unknown status, and an error all the same.
NOT_SUPPORTED = 801
COMPILE = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-fPIC", "-c"]
LINK = ["g++", "-shared"]
NAMES = ["nm", "--format=just-symbols"]


def wanted_symbols(provider: Path) -> dict[str, set[str]]:
    """What a shared object leaves to CUDA, by library; only the driver's names bear no version.

    Raises: ValueError if it wants a library that is not made here.
    """
    wanted: dict[str, set[str]] = {library: set() for library in LIBRARIES}
    for symbol in _symbols(provider, "--dynamic", "--undefined-only"):
        name, _, library = symbol.partition("@")
        if not library and re.fullmatch(r"cu[A-Z]\w+", name):
            wanted[DRIVER].add(name)
        elif re.match(r"libcu|libnv", library):
            if library not in LIBRARIES:
                raise ValueError(f"{provider.name} wants {name} of {library}, which is not faked")
            wanted[library].add(name)
    return wanted


def build(provider: Path, folder: Path) -> dict[str, set[str]]:
    """Makes the libraries anew, and returns the stubs of each."""
    wanted = wanted_symbols(provider)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stubs = {}
    for library, sources in LIBRARIES.items():
        with tempfile.TemporaryDirectory() as objects:
            compiled = [_compile(source, Path(objects)) for source in sorted(SOURCES.glob(sources))]
            known = {name for path in compiled for name in _symbols(path, "--defined-only")}
            stubs[library] = wanted[library] - known
            source = Path(objects, "stubs.cpp")
            source.write_text(_stubs(library, stubs[library]))
            _link(library, [*compiled, _compile(source, Path(objects))], folder)
    return stubs


def _symbols(path: Path, *options: str) -> list[str]:
    return subprocess.check_output([*NAMES, *options, path], text=True).split()


def _stubs(library: str, names: set[str]) -> str:
    functions = [
        f'int {name}(...) {{ device::note("stub", "{library} {name}"); return {NOT_SUPPORTED}; }}'
        for name in sorted(names)
    ]
    return "\n".join([f'#include "{SOURCES}/device.h"', 'extern "C" {', *functions, "}\n"])


def _compile(source: Path, folder: Path) -> Path:
    compiled = folder / f"{source.stem}.o"
    subprocess.run([*COMPILE, source, "-o", compiled], check=True)
    return compiled


def _link(library: str, compiled: list[Path], folder: Path) -> None:
    """With a version of its own name on every symbol, as NVIDIA's have it and the loader wants."""
    versions = compiled[0].with_name("versions")
    versions.write_text(f"{library} {{ global: *; }};\n")
    options = [] if library == DRIVER else [f"-Wl,--version-script={versions}"]
    soname = f"-Wl,-soname,{library}"
    command = [*LINK, soname, *options, *map(str, compiled), "-ldl", "-o", str(folder / library)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    made = build(Path(sys.argv[1]), Path(sys.argv[2]))
    listed = [f"{library} {name}\n" for library, names in made.items() for name in sorted(names)]
    Path(sys.argv[2], "stubs.txt").write_text("".join(listed))
    sys.stdout.write("".join(f"a stub: {line}" for line in listed))
