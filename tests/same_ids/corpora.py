"""Paragraphs that people wrote, in many languages and scripts, from packages that anybody gets.

English and code come with Python and what is installed beside it; the other languages from the
documentation that Debian keeps, which `apt-get download` brings as any user.
"""

from __future__ import annotations

import gettext
import gzip
import html
import io
import random
import re
import shutil
import subprocess
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

from export.graph.quality import real_texts

FOLDER = Path("build/same_ids")
# Language → packages of Debian, in which its texts lie as pages, manuals or translations.
DEBIAN = {
    "English": ("debian-reference",),
    "German": ("debian-reference-de", "manpages-de"),
    "French": ("debian-reference-fr", "manpages-fr"),
    "Chinese": ("debian-reference-zh-cn", "debian-reference-zh-tw", "manpages-zh"),
    "Japanese": ("debian-reference-ja", "manpages-ja"),
    "Russian": ("manpages-ru",),
    "many": ("iso-codes",),
}
SHARES = {
    "English": 5, "code": 4, "German": 2, "French": 1, "Chinese": 3, "Japanese": 3, "Russian": 1,
    "many": 1,
}  # fmt: skip
LONGEST = 3000  # characters of a paragraph
TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL)
BLOCKS = re.compile(r"</(?:p|li|td|th|h\d|pre|dd|dt|title)>")
MACROS = re.compile(r"^\.[A-Z]+.*\n|\n\n", re.MULTILINE)
ROFF = re.compile(r"\\f[A-Z]|\\f\(..|\\&|\\\|")


def corpora(count: int) -> dict[str, list[str]]:
    """Language → its texts, together `count` where all packages are to be had."""
    if not count:
        return {}
    share = count / sum(SHARES.values())
    return {
        language: _some(_texts(language), round(share * parts))
        for language, parts in SHARES.items()
    }


def _some(texts: Iterator[str], count: int) -> list[str]:
    unique = sorted(set(texts))
    return random.Random(0).sample(unique, min(count, len(unique)))  # noqa: S311 - the same always


def _texts(language: str) -> Iterator[str]:
    if language == "code":
        yield from _code()
        return
    if language == "English":
        yield from real_texts(10_000)
    for package in DEBIAN[language]:
        for name, content in _files(package):
            yield from _paragraphs(name, content)


def _code() -> Iterator[str]:
    """Stretches of Python's own sources, indentation and all."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for part in path.read_text(errors="ignore").split("\n\n"):
            if 20 < len(part) <= LONGEST:
                yield part


def _paragraphs(name: str, content: bytes) -> Iterator[str]:
    if name.endswith(".gz"):
        name, content = name.removesuffix(".gz"), gzip.decompress(content)
    if name.endswith(".mo"):
        catalogue = gettext.GNUTranslations(io.BytesIO(content))
        yield from filter(None, vars(catalogue)["_catalog"].values())
        return
    text = content.decode(errors="ignore")
    if name.endswith(".html"):
        parts = (html.unescape(TAGS.sub("", part)) for part in BLOCKS.split(text))
    elif "/man/" in name:
        parts = (ROFF.sub("", part) for part in MACROS.split(text))
    else:
        return
    yield from (part.strip("\n") for part in parts if 10 < len(part.strip()) <= LONGEST)


def _files(package: str) -> Iterator[tuple[str, bytes]]:
    archive = _archive(package)
    if archive is None:
        return
    data = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", archive],  # noqa: S607
        check=True,
        capture_output=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as files:
        for member in files:
            if member.isfile() and (content := files.extractfile(member)):
                yield member.name, content.read()


def _archive(package: str) -> Path | None:
    """The package, fetched once; None on a machine that is no Debian's."""
    folder = FOLDER / "packages"
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None
    if not any(folder.glob(f"{package}_*.deb")):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["apt-get", "--quiet=2", "--option", "APT::Sandbox::User=root", "download", package],  # noqa: S607
            cwd=folder,
            check=True,
        )
    return next(folder.glob(f"{package}_*.deb")).resolve()
