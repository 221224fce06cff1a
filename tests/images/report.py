"""What was seen, line by line, and a table at the end."""

from collections.abc import Mapping, Sequence


def note(what: str) -> None:
    print("      ", what, flush=True)


def check(holds: bool, what: str) -> None:
    """Says what was seen; what does not hold ends the run."""
    print("ok    " if holds else "FAILED", what, flush=True)
    assert holds, what


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Columns as wide as what is in them, in Markdown."""
    heads = list(rows[0])
    widths = [max(len(row[head]) for row in (dict.fromkeys(heads, ""), *rows)) for head in heads]
    widths = [max(width, len(head)) for width, head in zip(widths, heads, strict=True)]

    def line(words: Sequence[str]) -> str:
        return "| " + " | ".join(map(str.ljust, words, widths)) + " |"

    rule = line(["-" * width for width in widths])
    return "\n".join([line(heads), rule, *(line([row[head] for head in heads]) for row in rows)])
