"""Measurements of several rounds → the rows that people read. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from load_tests.bench.workloads import Figures


@dataclass(frozen=True, slots=True)
class Measurement:
    """One server under one workload in one round.

    server_cpu_seconds     of its whole process tree
    elsewhere_cpu_seconds  of everything on the machine but this server and the client
    """

    server: str
    workload: str
    round: int
    seconds: float
    groups: tuple[Figures, ...]
    server_cpu_seconds: float
    client_cpu_seconds: float
    elsewhere_cpu_seconds: float
    peak_mib: float

    @property
    def cpu_seconds_per_1000_texts(self) -> float:
        texts = sum(group.texts for group in self.groups)
        return 1000 * self.server_cpu_seconds / texts if texts else float("nan")

    @property
    def cores_busy(self) -> float:
        return self.server_cpu_seconds / self.seconds

    @property
    def cores_busy_elsewhere(self) -> float:
        return self.elsewhere_cpu_seconds / self.seconds


HEADER = (
    "| workload | server | texts/s | tokens/s | p50 ms | p95 ms | p99 ms | failed"
    " | CPU s / 1000 texts | cores busy | peak MiB |"
)


def figures_table(measurements: Sequence[Measurement]) -> str:
    """One row a workload, group of callers and server: medians over the rounds."""
    lines = [HEADER, "| --- | --- |" + " ---: |" * 9]
    for key in _in_order((m.workload, m.server) for m in measurements):
        runs = [m for m in measurements if (m.workload, m.server) == key]
        for index, group in enumerate(runs[0].groups):
            cells = [_group_name(key[0], group.group, index), key[1]]
            cells += _group_cells([run.groups[index] for run in runs])
            cells += _tree_cells(runs) if index == 0 else ["", "", ""]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios_table(measurements: Sequence[Measurement], ours: str) -> str:
    """Ours over each other server, from pairs of the same round: median (least to most)."""
    lines = [
        f"| workload | {ours} against | texts/s | p50 | p99 | CPU per text | peak memory |",
        "| --- | --- |" + " ---: |" * 5,
    ]
    for workload, server in _in_order((m.workload, m.server) for m in measurements):
        pairs = [
            (mine, theirs)
            for mine in measurements
            for theirs in measurements
            if mine.server == ours != theirs.server == server
            and mine.workload == theirs.workload == workload
            and mine.round == theirs.round
        ]
        if not pairs:
            continue
        for index, group in enumerate(pairs[0][0].groups):
            cells = [_group_name(workload, group.group, index), server]
            groups = [(mine.groups[index], theirs.groups[index]) for mine, theirs in pairs]
            cells.append(_ratio((a.texts_per_second, b.texts_per_second) for a, b in groups))
            cells.append(_ratio((a.p50_milliseconds, b.p50_milliseconds) for a, b in groups))
            cells.append(_ratio((a.p99_milliseconds, b.p99_milliseconds) for a, b in groups))
            if index == 0:
                cpu = [
                    (a.cpu_seconds_per_1000_texts, b.cpu_seconds_per_1000_texts) for a, b in pairs
                ]
                cells += [_ratio(cpu), _ratio((a.peak_mib, b.peak_mib) for a, b in pairs)]
            else:
                cells += ["", ""]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def kept_lines(measurements: Sequence[Measurement]) -> list[str]:
    """What bulk keeps of its own rate beside queries, from pairs of the same round."""
    lines = []
    mixed = (m for m in measurements if m.workload.startswith("mixed"))
    for workload, server in _in_order((m.workload, m.server) for m in mixed):
        pairs = [
            (_rate(measurements, workload, server, run.round), run.groups[0].texts_per_second)
            for run in measurements
            if (run.workload, run.server) == ("bulk", server)
        ]
        if kept := [both / alone for both, alone in pairs if both and alone]:
            lines.append(
                f"{server}, {workload}: bulk keeps {_spread(kept, '.0%')} of its own rate."
            )
    return lines


def fair_lines(measurements: Sequence[Measurement]) -> list[str]:
    """Tokens a second of two bulk callers of unequal call size."""
    lines = []
    unequal = [m for m in measurements if m.workload == "unequal"]
    for _, server in _in_order((m.workload, m.server) for m in unequal):
        groups = [m.groups for m in unequal if m.server == server]
        ratio = _ratio(
            (large.tokens_per_second, small.tokens_per_second) for large, small in groups
        )
        large, small = (group.group for group in groups[0])
        lines.append(f"{server}: {large} gets {ratio} times the tokens/s of {small}.")
    return lines


def _rate(measurements: Sequence[Measurement], workload: str, server: str, number: int) -> float:
    """Texts per second of the first group of callers in one run, 0 if there was none."""
    key = (workload, server, number)
    found = (m for m in measurements if (m.workload, m.server, m.round) == key)
    return next((m.groups[0].texts_per_second for m in found), 0.0)


def _group_name(workload: str, group: str, index: int) -> str:
    return workload if index == 0 else f"{workload}: {group}"


def _group_cells(groups: Sequence[Figures]) -> list[str]:
    return [
        f"{median(g.texts_per_second for g in groups):.1f}",
        f"{median(g.tokens_per_second for g in groups):,.0f}".replace(",", " "),
        f"{median(g.p50_milliseconds for g in groups):.1f}",
        f"{median(g.p95_milliseconds for g in groups):.1f}",
        f"{median(g.p99_milliseconds for g in groups):.1f}",
        str(sum(g.failures for g in groups)),
    ]


def _tree_cells(runs: Sequence[Measurement]) -> list[str]:
    return [
        f"{median(run.cpu_seconds_per_1000_texts for run in runs):.1f}",
        f"{median(run.cores_busy for run in runs):.2f}",
        f"{max(run.peak_mib for run in runs):.0f}",
    ]


def _ratio(pairs: Iterable[tuple[float, float]]) -> str:
    return _spread([mine / theirs for mine, theirs in pairs if theirs], ".2f")


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "-"
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _in_order(keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each key once, where it first came; a workload's servers stand together."""
    found = list(dict.fromkeys(keys))
    workloads = list(dict.fromkeys(workload for workload, _ in found))
    return sorted(found, key=lambda key: workloads.index(key[0]))
