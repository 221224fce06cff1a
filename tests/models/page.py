"""docs/models.md, of what a run found."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from tests.models.comparison import MIN_COSINE, TEXTS, Outcome
from tests.models.named import CHECKPOINTS, NOTES, STRUCTURES
from tests.models.refused import REFUSED

LIBRARIES = ("sentence-transformers", "transformers")


@dataclass(frozen=True)
class Findings:
    """What a run found."""

    outcomes: Mapping[str, Outcome | str]  # of structures; a text is what went wrong
    refusals: Mapping[str, str | None]  # of checkpoints; None: it was served
    served: Mapping[str, float]  # structure → lowest cosine through the gateway

    def wrong(self) -> list[str]:
        """Everything that is not as it must be, a line each."""
        return [
            *(
                f"{structure}: {outcome if isinstance(outcome, str) else 'other vectors'}"
                for structure, outcome in self.outcomes.items()
                if isinstance(outcome, str) or outcome.min_cosine < MIN_COSINE
            ),
            *(
                f"{name}: {sentence or 'it is served'}"
                for name, sentence in self.refusals.items()
                if not re.search(REFUSED[name].reason, sentence or "")
            ),
            *(f"{name}: gateway" for name, cosine in self.served.items() if cosine < MIN_COSINE),
        ]


def count_line(served: int, refused: int) -> str:
    """The sentence that README repeats."""
    return f"{served} of {served + refused} much-used checkpoints are served, {refused} refused"


def render(findings: Findings) -> str:
    """The whole page, of a run in which nothing was wrong."""
    return "\n".join([*_introduction(), *_served(findings), *_refused(findings)]) + "\n"


def _introduction() -> Iterator[str]:
    libraries = " and ".join(f"{name} {version(name)}" for name in LIBRARIES)
    yield "# Models"
    yield ""
    yield (
        "`make models` writes this page: it exports a tiny replica of each structure, with random "
        "weights, and compares its vectors with those of "
        "`SentenceTransformer(folder).encode([text])`, "
        f"{libraries}, in float32 on the CPU."
    )
    yield (
        f"{len(TEXTS)} texts that hurt, without a prompt and with each prompt of the checkpoint, "
        "each text alone and all together; the worst case counts."
    )
    yield (
        "A replica has the structure that the checkpoints beside it are known to have, not their "
        "weights; the export of a real one verifies its own files and prints the figure."
    )
    yield ""
    yield f"**{count_line(len(STRUCTURES), len(CHECKPOINTS) - len(STRUCTURES))}.**"
    yield ""


def _served(findings: Findings) -> Iterator[str]:
    yield "## Served"
    yield ""
    yield "| checkpoint | how | structure | 1 - min cosine | through the gateway |"
    yield "| --- | --- | --- | --- | --- |"
    for checkpoint, structure in STRUCTURES.items():
        outcome = findings.outcomes[structure]
        assert isinstance(outcome, Outcome)
        how = f"{outcome.how}; {NOTES[checkpoint]}" if checkpoint in NOTES else outcome.how
        through = findings.served.get(structure)
        cells = (
            *(checkpoint, how, structure, bound(outcome.min_cosine)),
            "-" if through is None else bound(through),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield (
        "Figures are rounded up to a power of ten. "
        f"Beside these, {len(set(findings.outcomes) - set(STRUCTURES.values()))} structures that "
        "no checkpoint above needs are compared in the same way."
    )
    yield (
        "*Translated*: the repository names code of its own, which is never run "
        "([why](decisions/0024-translated.md)). "
        "Such a replica is compared with sentence-transformers on the translated configuration, "
        "not with that code."
    )
    yield ""


def _refused(findings: Findings) -> Iterator[str]:
    yield "## Refused"
    yield ""
    yield "| checkpoint | what the export says |"
    yield "| --- | --- |"
    for checkpoint, sentence in findings.refusals.items():
        yield f"| {checkpoint} | {cell(sentence or '')} |"


def bound(cosine: float) -> str:
    """The power of ten that 1 - cosine does not exceed."""
    difference = max(1 - cosine, 1e-15)
    return f"1e{math.ceil(math.log10(difference))}"


def cell(sentence: str) -> str:
    """A sentence as a cell of a table."""
    return re.sub(r"([|_*<])", r"\\\1", sentence)
