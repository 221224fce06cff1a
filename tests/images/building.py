"""Every image that can be built here: built, looked into, unpacked."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.images.contents import forbidden, unpacked_bytes, unreadable
from tests.images.dockerfile import FOLDER
from tests.images.report import check, note
from tests.images.storage import ROOT, Built, Storage, own_wheels

PROGRAMS = ("gateway", "triton-cpu", "export")

# Of NVIDIA's Triton: Ubuntu 24.04.
GPU_PYTHON, GPU_GLIBC = "3.12", 39


@dataclass(frozen=True)
class Unpacked:
    """An image and its file system."""

    image: Built
    root: Path


@dataclass(frozen=True)
class Size:
    """What an image weighs and took."""

    unpacked_bytes: int
    compressed_bytes: int
    seconds: float
    user: str


class Builder:
    """Builds, looks, and notes what each image weighs."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.sizes: dict[str, Size] = {}

    @contextmanager
    def program(self, name: str) -> Iterator[Unpacked]:
        """One that runs: holds nothing that installs, compiles or makes another user."""
        given = {"TORCH_INDEX": ""} if name == "export" and own_wheels() else {}
        image = self._storage.build(name, ROOT, "dev", given)
        with self._unpacked(name, image) as unpacked:
            found = forbidden(unpacked.root)
            check(not found, f"{name}: no pip, compiler or setuid {found or ''}")
            hidden = [one for one in unreadable(unpacked.root) if one.startswith(("opt", "usr"))]
            check(not hidden, f"{name}: any user of group 0 can read it {hidden or ''}")
            yield unpacked

    @contextmanager
    def model(self, context: Path, base: str) -> Iterator[Unpacked]:
        """An exported repository, on nothing or on a base."""
        variant = "scratch" if base == "scratch" else "copied"
        image = self._storage.build("model", context, variant, {"BASE": base})
        with self._unpacked(f"model, {variant}", image) as unpacked:
            hidden = unreadable(unpacked.root / "models")
            check(not hidden, f"model, {variant}: any user can read it {hidden or ''}")
            yield unpacked

    @contextmanager
    def _unpacked(self, name: str, image: Built) -> Iterator[Unpacked]:
        # As much work as the build itself: of what is built now.
        compressed = self._storage.compressed_bytes(image.tag) if image.seconds else 0
        with self._storage.unpacked(image.tag) as root:
            size = Size(unpacked_bytes(root), compressed, image.seconds, image.config["User"])
            self.sizes[name] = size
            note(f"{name}: built in {image.seconds:.0f} s" if image.seconds else f"{name}: there")
            yield Unpacked(image, root)


def resolve_gpu() -> None:
    """What triton-gpu installs is to be had, for its Python, as wheels, and fits together."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(17, GPU_GLIBC + 1)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps"),
            *("--only-binary=:all:", "--target", "nowhere", "--python-version", GPU_PYTHON),
            *(f"--platform={one}" for one in ("manylinux2014_x86_64", *platforms)),
            *(f"--constraint={ROOT / name}" for name in ("constraints.txt", "constraints-gpu.txt")),
            *(f"--requirement={FOLDER / name}" for name in ("steps.txt", "steps-gpu.txt")),
        ],
        capture_output=True,
        text=True,
    )
    told = (done.stdout.strip() or done.stderr).splitlines()[-1]
    check(done.returncode == 0, f"triton-gpu, not built: {told}")
