"""What a provider wants that nobody has written yet."""

import subprocess
from pathlib import Path

import pytest

from tests.fake_cuda.build import NOT_SUPPORTED, build, wanted_symbols
from tests.fake_cuda.run import LIBRARIES, in_fake_cuda

pytestmark = pytest.mark.fake_cuda

CALL = """
import ctypes
from tests.fake_cuda.device import Device

print(ctypes.CDLL("libcudart.so.13").cudaNovelty())
Device().tell()
"""


def make_provider(folder: Path, library: str) -> Path:
    """A shared object that wants `cudaNovelty` of a library."""
    made, provider = folder / library, folder / "provider.so"
    (folder / "library.cpp").write_text('extern "C" int cudaNovelty() { return 0; }')
    (folder / "provider.cpp").write_text(
        'extern "C" int cudaNovelty(); int use() { return cudaNovelty(); }'
    )
    (folder / "versions").write_text(f"{library} {{ global: *; }};")
    shared = ["g++", "-shared", "-fPIC"]
    version = f"-Wl,--version-script={folder / 'versions'}"
    subprocess.run([*shared, folder / "library.cpp", version, "-o", made], check=True)
    subprocess.run([*shared, folder / "provider.cpp", made, "-o", provider], check=True)
    return provider


def test_every_function_that_the_wheel_wants_is_written() -> None:
    """Else it is to be written, in the library that this names."""
    assert (LIBRARIES / "stubs.txt").read_text() == ""


def test_another_function_becomes_a_stub_that_fails_and_is_reported(tmp_path: Path) -> None:
    stubs = build(make_provider(tmp_path, "libcudart.so.13"), tmp_path / "lib")
    assert stubs["libcudart.so.13"] == {"cudaNovelty"}

    called = in_fake_cuda("-c", CALL, LD_LIBRARY_PATH=str(tmp_path / "lib"))

    assert called.printed == str(NOT_SUPPORTED)
    assert called.reports[0].stubs == {"libcudart.so.13 cudaNovelty": 1}


def test_another_library_is_an_error(tmp_path: Path) -> None:
    provider = make_provider(tmp_path, "libcudart.so.14")
    with pytest.raises(ValueError, match=r"cudaNovelty of libcudart\.so\.14, which is not faked"):
        wanted_symbols(provider)
