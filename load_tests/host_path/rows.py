"""What is measured: each row a kind of call, and what it may cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

from load_tests.host_path.sides import Settings

WORDS = "words"  # of load_tests.payloads, which repeat
FRESH_CALLS = 20  # of a row whose texts are never seen twice, in one round

Source = Literal["words", "english", "chinese", "japanese"]


@dataclass(frozen=True, slots=True)
class Bar:
    """The most that a row may cost now: µs of CPU a text, or times what another costs.

    of  None: microseconds; "before": the same row by the code before; else another row's key
    """

    most: float
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Calls of one kind: texts of a call, callers that each wait for their answer."""

    key: str
    texts: int
    callers: int
    tokens: int = 65
    source: Source = "words"
    encoding_format: str = "base64"
    settings: Settings = "GPU"
    bar: Bar | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether no text is sent twice to one server."""
        return self.source != WORDS

    @property
    def what(self) -> str:
        """For a table."""
        tokens = f"about {self.tokens}" if self.is_fresh else f"{self.tokens}"
        source = f" of {self.source.capitalize()}, never seen" if self.is_fresh else ""
        callers = "caller" if self.callers == 1 else "callers"
        return f"{self.texts} x {tokens} tokens{source}, {self.callers} {callers}"


def _bulk(key: str, **more: object) -> Row:
    return Row(key, texts=256, callers=4, **more)  # type: ignore[arg-type]


ROWS = (
    _bulk("bulk-12", tokens=12, bar=Bar(25)),
    _bulk("bulk-65", bar=Bar(45)),
    _bulk("bulk-500", tokens=500, bar=Bar(160)),
    Row("calls-of-64", texts=64, callers=8),
    _bulk("bulk-65-float", encoding_format="float", bar=Bar(1.5, "bulk-65")),
    _bulk("bulk-65-int8", encoding_format="int8", bar=Bar(1.1, "bulk-65")),
    _bulk("bulk-65-ubinary", encoding_format="ubinary", bar=Bar(1.1, "bulk-65")),
    _bulk("english", source="english", bar=Bar(90)),
    _bulk("chinese", source="chinese", bar=Bar(1, "before")),
    _bulk("japanese", source="japanese", bar=Bar(1, "before")),
    Row("single-12-1", 1, 1, tokens=12, bar=Bar(1, "before")),
    Row("single-12-8", 1, 8, tokens=12),
    Row("single-12-32", 1, 32, tokens=12, bar=Bar(400)),
    Row("single-12-64", 1, 64, tokens=12),
    Row("single-65-1", 1, 1, bar=Bar(1, "before")),
    Row("single-65-32", 1, 32, bar=Bar(400)),
    Row("single-500-1", 1, 1, tokens=500),
    Row("single-500-32", 1, 32, tokens=500),
    _bulk("cpu-bulk-12", tokens=12, settings="CPU"),
    _bulk("cpu-bulk-65", settings="CPU"),
    _bulk("cpu-bulk-500", tokens=500, settings="CPU"),
    _bulk("cpu-english", source="english", settings="CPU"),
    Row("cpu-single-12-1", 1, 1, tokens=12, settings="CPU"),
    Row("cpu-single-12-32", 1, 32, tokens=12, settings="CPU"),
)


def chosen(patterns: Sequence[str], rows: Iterable[Row] = ROWS) -> tuple[Row, ...]:
    """The rows whose keys match one of the patterns; all if there is no pattern.

    Raises: ValueError for a pattern that matches none.
    """
    rows = tuple(rows)
    for pattern in patterns:
        if not any(fnmatch(row.key, pattern) for row in rows):
            keys = " ".join(row.key for row in rows)
            raise ValueError(f"no row matches {pattern!r}; there are {keys}")
    return tuple(r for r in rows if not patterns or any(fnmatch(r.key, p) for p in patterns))
