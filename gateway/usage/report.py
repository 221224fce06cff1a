"""Usage logs → sums by what is asked for, with whatever of them cannot be counted on.

Nothing is assumed of the order of files, lines or times. Every record has an identity, so that
one that is found twice, in a copy of a folder for example, counts once, and one that is missing
between two others shows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from gateway.usage.record import Damaged, Record, read_line

PATTERN = "usage-*.jsonl"

# What sums can be taken by, and how a record tells it.
FIELDS: dict[str, Callable[[Record], str]] = {
    "key": attrgetter("key"),
    "digest": attrgetter("digest"),
    "model": attrgetter("model"),
    "revision": attrgetter("revision"),
    "day": lambda record: record.time[:10],
    "hour": lambda record: f"{record.time[:13]}:00Z",
}


@dataclass(slots=True)
class Sums:
    """What calls come to."""

    calls: int = 0
    texts: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Report:
    """Sums by their group, and what was wrong with the logs.

    damaged  file and number of each line that is not what was written
    twice    records that were found again
    missing  records of a run between others of it that are nowhere
    """

    groups: dict[tuple[str, ...], Sums] = field(default_factory=dict)
    damaged: list[tuple[Path, int]] = field(default_factory=list)
    twice: int = 0
    missing: int = 0

    def total(self) -> Sums:
        return Sums(
            sum(sums.calls for sums in self.groups.values()),
            sum(sums.texts for sums in self.groups.values()),
            sum(sums.tokens for sums in self.groups.values()),
        )


class _Run:
    """The numbers of one run that were found."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._found = 0
        self._least = 0
        self._most = 0

    def find(self, number: int) -> bool:
        """Whether it is the first time."""
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits)))
        if self._bits[place] & bit:
            return False
        self._bits[place] |= bit
        self._found += 1
        self._most = max(self._most, number)
        self._least = min(self._least, number) if self._found > 1 else number
        return True

    def missing(self) -> int:
        return self._most - self._least + 1 - self._found if self._found else 0


def add_up(files: Iterable[Path], by: Sequence[str], since: str = "", until: str = "") -> Report:
    """The sums of all records from `since` on and before `until`.

    by            names of FIELDS
    since, until  the first letters of times as records have them; empty is no bound

    Raises: OSError.
    """
    report, runs = Report(), dict[str, _Run]()
    readers = [FIELDS[name] for name in by]
    for file, number, line in _lines(files):
        try:
            record = read_line(line)
        except Damaged:
            report.damaged.append((file, number))
            continue
        if (run := runs.get(record.run)) is None:
            run = runs[record.run] = _Run()
        if not run.find(record.number):
            report.twice += 1
        elif record.time >= since and (not until or record.time < until):
            group = tuple([read(record) for read in readers])
            if (sums := report.groups.get(group)) is None:
                sums = report.groups[group] = Sums()
            sums.calls += 1
            sums.texts += record.texts
            sums.tokens += record.tokens
    report.missing = sum(run.missing() for run in runs.values())
    return report


def find_files(places: Iterable[Path]) -> list[Path]:
    """The files of logs in folders, and what is a file already, each once.

    Raises: OSError with one sentence for a place that holds none.
    """
    files: dict[Path, Path] = {}
    for place in places:
        found = sorted(place.glob(PATTERN)) if place.is_dir() else [place]
        if not found or not found[0].is_file():
            raise OSError(f"{place} holds no usage log ({PATTERN})" if place.is_dir() else
                          f"{place} is no file and no folder")  # fmt: skip
        files |= {file.resolve(): file for file in found}
    return sorted(files.values())


def _lines(files: Iterable[Path]) -> Iterator[tuple[Path, int, bytes]]:
    for file in files:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                yield file, number, line
