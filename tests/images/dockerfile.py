"""A Dockerfile as the instructions that it consists of."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docker"
FILES = {file.name.removesuffix(".Dockerfile"): file for file in FOLDER.glob("*.Dockerfile")}


@dataclass(frozen=True)
class Stage:
    """What one FROM begins: instructions by word and what follows it."""

    base: str
    name: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, word: str) -> list[str]:
        return [text for found, text in self.instructions if found == word]

    def pairs(self, word: str) -> dict[str, str]:
        """Names and values of ENV or LABEL."""
        words = shlex.split(" ".join(self.all(word)))
        return {name: value for name, _, value in (one.partition("=") for one in words)}


def instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (one.partition(" ") for one in joined.splitlines())]


def arguments(file: Path) -> dict[str, str]:
    """Defaults of the ARGs before the first stage."""
    found: dict[str, str] = {}
    for word, text in instructions(file.read_text()):
        if word == "FROM":
            break
        name, _, value = text.partition("=")
        found[name] = value
    return found


def stages(file: Path) -> list[Stage]:
    """From the first to the one that becomes the image."""
    found: list[Stage] = []
    for word, text in instructions(file.read_text()):
        if word == "FROM":
            base, _, name = text.partition(" AS ")
            found.append(Stage(base, name, ()))
        elif found:
            last = found.pop()
            found.append(Stage(last.base, last.name, (*last.instructions, (word, text))))
    return found
