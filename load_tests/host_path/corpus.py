"""Texts that people wrote, none twice, from packages of Debian by name; about 65 tokens each.

    python -m load_tests.host_path.corpus english

Paragraphs of a page that are short are joined, long ones cut, between words where there are such.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from html.parser import HTMLParser
from itertools import takewhile
from pathlib import Path

from load_tests.host_path.sides import FOLDER, CannotMeasure

PACKAGES = {
    "english": ("debian-reference-en", "libreoffice-help-en-us", "git-doc"),
    "chinese": ("debian-reference-zh-cn", "libreoffice-help-zh-cn"),
    "japanese": ("debian-reference-ja", "libreoffice-help-ja"),
}
# Characters of a text, so that it has about 65 tokens.
CHARACTERS = {"english": 270, "chinese": 64, "japanese": 67}
BROKEN_AT = " 。、,"


class Paragraphs(HTMLParser):
    """The words of each <p> of a page, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "p":
            self.close_paragraph()
            self._open = []

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self.close_paragraph()

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.append(data)

    def close_paragraph(self) -> None:
        if self._open and (words := "".join(self._open).split()):
            self.found.append(" ".join(words))
        self._open = None


def texts_of(language: str) -> list[str]:
    """All of a language, shuffled, the same at every call.

    Raises: CannotMeasure if they cannot be had.
    """
    kept = FOLDER / "corpus" / f"{language}.json"
    if not kept.exists():
        folder = FOLDER / "corpus" / language
        _fetch(PACKAGES[language], folder)
        pages = _pages(folder, is_foreign=language != "english")
        texts = list(make_texts(pages, CHARACTERS[language]))
        random.Random(0).shuffle(texts)  # noqa: S311 - the same at every call
        kept.write_text(json.dumps(texts))
        shutil.rmtree(folder)
    found: list[str] = json.loads(kept.read_text())
    return found


def make_texts(pages: Iterable[Sequence[str]], characters: int) -> Iterator[str]:
    """Texts of about so many characters, none twice, of paragraphs that were not there before.

    pages  the paragraphs of each
    """
    seen, made = set[str](), set[str]()
    for page in pages:
        joined = " ".join(_new(page, seen))
        while len(joined) > characters // 2:
            end = _end(joined, characters)
            yield from _new([joined[:end].strip()], made)
            joined = joined[end:]


def is_translated(paragraph: str) -> bool:
    """Whether it has more letters beyond ASCII than within: some paragraphs still are English."""
    letters = [letter.isascii() for letter in paragraph if letter.isalpha()]
    return 2 * sum(letters) < len(letters)


def _new(texts: Iterable[str], seen: set[str]) -> Iterator[str]:
    for text in texts:
        if text not in seen:
            seen.add(text)
            yield text


def _end(text: str, characters: int) -> int:
    """Of a part of the text: behind the first place to break after so many characters."""
    rest = text[characters : 2 * characters]
    return characters + sum(1 for _ in takewhile(lambda c: c not in BROKEN_AT, rest)) + 1


def _fetch(packages: Sequence[str], folder: Path) -> None:
    """Download and unpack; nothing is installed.

    Raises: CannotMeasure.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise CannotMeasure(f"{', '.join(packages)}: Debian's or Ubuntu's apt-get is needed")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = subprocess.run(  # noqa: S603 - names of packages
        ["apt-get", "download", *packages],  # noqa: S607
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:]
        raise CannotMeasure(f"apt-get download {' '.join(packages)}: {' '.join(reason)}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)  # noqa: S603, S607


def _pages(folder: Path, is_foreign: bool) -> Iterator[list[str]]:
    for path in sorted(folder.rglob("*.html")):
        if path.is_symlink():
            continue
        parser = Paragraphs()
        parser.feed(path.read_text(encoding="utf-8", errors="replace"))
        parser.close_paragraph()
        yield list(filter(is_translated, parser.found)) if is_foreign else parser.found


def main(languages: Sequence[str]) -> None:
    for language in languages:
        texts = texts_of(language)
        print(f"{language}: {len(texts)} texts, {sum(map(len, texts)) / len(texts):.0f} characters")


if __name__ == "__main__":
    main(sys.argv[1:] or list(PACKAGES))
