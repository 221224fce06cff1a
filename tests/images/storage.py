"""Images of buildah in a folder of their own: a base made of Debian's packages, and ours on it."""

import configparser
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.images.dockerfile import FILES, FOLDER

ROOT = FOLDER.parent
BASE = "localhost/base:bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv", "libpython3.11")
NEEDED = ("buildah", "mmdebstrap", "runc")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class CannotBuild(Exception):
    """What is missing here, in one sentence."""


@dataclass(frozen=True)
class Built:
    """An image and what it took."""

    tag: str
    seconds: float  # 0 if it was there
    config: Mapping[str, Any]  # of OCI: User, Env, Entrypoint, Healthcheck, Labels


class Storage:
    """Builds with chroot isolation and plain copies, which need nothing of the kernel but root.

    Raises: CannotBuild.
    """

    def __init__(self, folder: Path, reuse: bool = False) -> None:
        missing = [tool for tool in NEEDED if shutil.which(tool) is None]
        if missing:
            raise CannotBuild(f"missing: {', '.join(missing)}: apt-get install {' '.join(missing)}")
        if os.geteuid():
            raise CannotBuild("images are built and run by root only: sudo make images")
        self.folder, self._reuse = folder.resolve(), reuse
        self._scratch = self.folder / "tmp"  # of buildah, pip's cache too
        self._scratch.mkdir(parents=True, exist_ok=True)

    def make_base(self) -> float:
        """Debian with its Python, standing in for a Python image; seconds, 0 if it was there."""
        if self._has(BASE):
            return 0.0
        began = time.monotonic()
        archive = self.folder / "base.tar"
        options = [
            *(f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("doc", "man", "locale")),
            f"--include={','.join(PACKAGES)}",
        ]
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=apt", *options, "bookworm", archive],  # noqa: S607
            check=True,
        )
        container = self._buildah("from", "scratch").strip()
        self._buildah("add", container, str(archive), "/")
        self._buildah("commit", "--rm", container, BASE)
        archive.unlink()
        return time.monotonic() - began

    def build(self, image: str, context: Path, variant: str, arguments: Mapping[str, str]) -> Built:
        """One of docker/, on our base unless another is given."""
        began, seconds = time.monotonic(), 0.0
        tag = f"localhost/{image}:{variant}"
        if not (self._reuse and self._has(tag)):
            self._build(image, tag, context, arguments)
            seconds = time.monotonic() - began
        inspected = json.loads(self._buildah("inspect", "--type", "image", tag))
        return Built(tag, seconds, inspected["Docker"]["config"])

    def _build(self, image: str, tag: str, context: Path, arguments: Mapping[str, str]) -> None:
        given = {"BASE": BASE, "REVISION": _revision(), **arguments}
        settings = self.folder / "pip.conf"
        with settings.open("w") as stream:
            _settings_of_pip().write(stream)
        mounts = {settings: Path("/etc/pip.conf"), **{one: one for one in own_wheels()}}
        if CERTIFICATES.exists():
            mounts[CERTIFICATES] = CERTIFICATES
        self._buildah(
            *("build", "--isolation", "chroot", "--format", "docker"),
            *(f"--volume={source}:{target}:ro" for source, target in mounts.items()),
            *(f"--build-arg={name}={value}" for name, value in given.items()),
            *("--file", str(FILES[image]), "--tag", tag, str(context)),
        )

    def _has(self, tag: str) -> bool:
        return tag in self._buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()

    @contextmanager
    def unpacked(self, tag: str) -> Iterator[Path]:
        """The file system of an image, a copy that lasts as long as the block."""
        container = self._buildah("from", tag).strip()
        try:
            yield Path(self._buildah("mount", container).strip())
        finally:
            self._buildah("rm", container)

    def compressed_bytes(self, tag: str) -> int:
        """What a registry stores and a node fetches, the base included."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            self._buildah("push", tag, f"oci:{folder}")
            return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())

    def _buildah(self, *arguments: str) -> str:
        """What buildah says; what it complains about when it fails is printed."""
        places = ("--root", f"{self.folder}/storage", "--runroot", f"{self.folder}/run")
        done = subprocess.run(
            ["buildah", *places, "--storage-driver", "vfs", *arguments],  # noqa: S607
            env=os.environ | {"TMPDIR": str(self._scratch)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
            raise CannotBuild(f"buildah {arguments[0]} {arguments[-1]} failed, as told above")
        return done.stdout


def own_wheels() -> list[Path]:
    """Folders of packages that this machine's pip looks into; none on most machines."""
    named = _settings_of_pip().get("global", "find-links", fallback="").split()
    return [folder for folder in map(Path, named) if folder.is_dir()]


def _settings_of_pip() -> configparser.ConfigParser:
    """How pip finds packages on this machine, but for indexes that are files here."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(["/etc/pip.conf", Path.home() / ".config" / "pip" / "pip.conf"])
    for section in settings.values():
        for name, value in section.items():
            section[name] = "\n".join(one for one in value.split() if "file:" not in one)
    return settings


def _revision() -> str:
    asked = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "unknown"
