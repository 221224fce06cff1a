"""What happened on the fake device: `Report`, made inside a program and read outside of it."""

from dataclasses import dataclass
from typing import Any

TOLD = "fake CUDA: "  # what a line with a report begins with
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of one kind."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Since the last reset, but for what lives.

    launches      kernels by name, demangled, with their template arguments
    computations  functions of cuBLAS and cuBLASLt, which launch kernels of their own
    copies        by kind: "host to device", "device to host", "device to device", "default"
    calls         functions of the runtime that allocate, wait, or make streams and events
    stubs         functions without a behaviour that were called all the same
    streams       that kernels were launched on
    live_bytes    memory of the device that is allocated now; peak_bytes at most since the reset
    """

    launches: dict[str, int]
    computations: dict[str, int]
    copies: dict[str, Copies]
    calls: dict[str, int]
    stubs: dict[str, int]
    streams: int
    live_bytes: int
    peak_bytes: int

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Report":
        copies = {kind: Copies(**copied) for kind, copied in fields["copies"].items()}
        return cls(**{**fields, "copies": copies})

    @property
    def waits(self) -> int:
        """How often the program waited for the device."""
        return sum(self.calls.get(name, 0) for name in WAITS)

    def launched(self, part: str = "") -> int:
        """Launches of the kernels whose names hold `part`."""
        return sum(count for name, count in self.launches.items() if part in name)

    def copied(self, kind: str) -> Copies:
        return self.copies.get(kind, Copies())


def parse_report(lines: str) -> Report:
    """What the libraries print: section, name, count and bytes, with tabs between."""
    sections: dict[str, dict[str, Copies]] = {}
    for line in lines.splitlines():
        section, name, count, size = line.split("\t")
        tally = sections.setdefault(section, {}).get(name, Copies())
        # Two kernels may have one name once they are demangled.
        sections[section][name] = Copies(tally.count + int(count), tally.bytes + int(size))

    def counts(section: str) -> dict[str, int]:
        return {name: tally.count for name, tally in sections.get(section, {}).items()}

    return Report(
        launches=counts("launch"),
        computations=counts("computation"),
        copies=sections.get("copy", {}),
        calls=counts("call"),
        stubs=counts("stub"),
        streams=sections["streams"]["launched on"].count,
        live_bytes=sections["memory"]["live"].bytes,
        peak_bytes=sections["memory"]["peak"].bytes,
    )
