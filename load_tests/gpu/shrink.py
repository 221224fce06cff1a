"""A copy of onnxruntime's CUDA provider that compresses well, for a machine without a network.

`python -m load_tests.gpu.shrink libonnxruntime_providers_cuda.so COPY --architecture 90`

The library holds its kernels once for each architecture. Those of all others become zeros; it keeps
its size and loads as before, on devices of the one architecture (90 for compute capability 9.0).
"""

import argparse
import mmap
import shutil
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = struct.pack("<I", 0xBA55ED50)
# NVIDIA documents neither of these headers; so they stand in the libraries of CUDA 13.
# A fat binary begins with its magic number, its version, the size of this header and that of all
# its images.
CONTAINER = struct.Struct("<IHHQ")
VERSION = 1
# An image begins with its kind, two bytes, the size of this header and that of what follows; the
# architecture stands further on in the header.
IMAGE = struct.Struct("<HHIQ")
ARCHITECTURE = struct.Struct("<I")
ARCHITECTURE_OFFSET = 28
MACHINE_CODE = 2  # of the kinds; PTX is 1


@dataclass(frozen=True)
class Image:
    """A range of bytes with the kernels of one architecture."""

    kind: int
    architecture: int
    begin: int
    end: int


def images(data: mmap.mmap | bytes) -> Iterator[Image]:
    """Those of each fat binary of a library."""
    found = data.find(MAGIC)
    while found >= 0:
        end = found + len(MAGIC)
        if found + CONTAINER.size <= len(data):
            _, version, header_size, size = CONTAINER.unpack_from(data, found)
            begin = found + header_size
            # Else these four bytes stand there by chance.
            if (version, header_size) == (VERSION, CONTAINER.size) and begin + size <= len(data):
                end = begin + size
                yield from _images_within(data, begin, end)
        found = data.find(MAGIC, end)


def shrink(provider: Path, copy: Path, architecture: int) -> Counter[int]:
    """Bytes of machine code by architecture, all but one of which are zeros in the copy.

    Raises: ValueError, and leaves no copy, if the library has nothing of that architecture.
    """
    shutil.copyfile(provider, copy)
    with copy.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        code = [image for image in images(data) if image.kind == MACHINE_CODE]
        sizes = Counter[int]()
        for image in code:
            sizes[image.architecture] += image.end - image.begin
        if architecture in sizes:
            for image in code:
                if image.architecture != architecture:
                    data[image.begin : image.end] = bytes(image.end - image.begin)
            return sizes
    copy.unlink()
    raise ValueError(f"{provider} has machine code of {sorted(sizes)}, not of {architecture}")


def _images_within(data: mmap.mmap | bytes, begin: int, end: int) -> Iterator[Image]:
    while begin < end:
        kind, _, header_size, size = IMAGE.unpack_from(data, begin)
        if header_size <= ARCHITECTURE_OFFSET:
            return  # no image, but what stands behind a magic number by chance
        (architecture,) = ARCHITECTURE.unpack_from(data, begin + ARCHITECTURE_OFFSET)
        yield Image(kind, architecture, begin + header_size, begin + header_size + size)
        begin += header_size + size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("provider", type=Path)
    parser.add_argument("copy", type=Path)
    parser.add_argument("--architecture", type=int, default=90)
    arguments = parser.parse_args()
    sizes = shrink(arguments.provider, arguments.copy, arguments.architecture)
    for architecture, size in sorted(sizes.items()):
        kept = "kept" if architecture == arguments.architecture else "zeros"
        print(f"{architecture:>5} {size / 2**20:>7.1f} MiB {kept}")


if __name__ == "__main__":
    main()
