"""A row for each fault."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.fleet.callers import Tally
from tests.fleet.faults import CUT, Fleet

COLUMNS = (
    "fault", "calls", "right", "refused", "failed", "failed, repeating proxy", "failed, OpenAI",
    "OpenAI sent again", "wrong or mixed", "changes of revision", "between them, s",
    "slowest, s", "whole again, s",
)  # fmt: skip
PLAIN = {"queries", "bulk"}  # callers whom nobody helps
HEAD = f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}"


@dataclass
class Row:
    """One fault, and the calls for some seconds before, during and after it."""

    name: str
    tallies: Mapping[str, Tally]
    whole_seconds: float

    @classmethod
    async def measure(
        cls, name: str, fleet: Fleet, fault: Callable[[], Awaitable[None]], around_seconds: float
    ) -> "Row":
        fleet.cluster.tell(f"--- {name}")
        fleet.load.begin()
        tallies = fleet.load.tallies
        await asyncio.sleep(around_seconds)
        began = time.monotonic()
        await fault()
        await fleet.until_whole()
        seconds = time.monotonic() - began
        await asyncio.sleep(around_seconds)
        return cls(name, tallies, seconds)

    @property
    def complaints(self) -> list[str]:
        return [text for one in self.tallies.values() for text in one.failed + one.wrong]

    @property
    def is_harmless(self) -> bool:
        """Whether no vector was wrong and no call failed, but for plain ones that were cut off."""
        wrong = any(one.wrong for one in self.tallies.values())
        failed = [name for name, one in self.tallies.items() if one.failed]
        return not wrong and not (set(failed) - (PLAIN if self.name == CUT else set()))

    def __str__(self) -> str:
        tallies = self.tallies.values()
        failed = {name: len(one.failed) for name, one in self.tallies.items()}
        cells = (
            self.name,
            sum(one.calls for one in tallies),
            sum(one.right for one in tallies),
            sum(one.refused for one in tallies),
            failed["queries"] + failed["bulk"],
            failed["repeating"],
            failed["openai"],
            self.tallies["openai"].repeated,
            sum(len(one.wrong) for one in tallies),
            sum(len(one.moves) for one in tallies),
            f"{max(one.moving_seconds for one in tallies):.1f}",
            f"{max(one.slowest for one in tallies):.2f}",
            f"{self.whole_seconds:.1f}",
        )
        return f"| {' | '.join(map(str, cells))} |"
