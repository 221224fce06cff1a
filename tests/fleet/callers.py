"""A steady load through the proxy, every vector of which is compared with its revision's own.

Four callers, each with a key of its own. Three use plain httpx, which repeats nothing: short
queries, bulk, and both behind a proxy that sends again what broke off. The fourth is OpenAI's
client as it comes, which repeats a call twice by itself.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx
import numpy as np
import openai
from numpy.typing import NDArray

from tests.fleet.proxy import PLAIN_URL, REPEATING_URL
from tests.triton.fleet import MAX_DIFFERENCE, NAME, TEXTS

PAUSE_SECONDS = 0.02  # between two calls of a caller
PATIENCE_SECONDS = 70.0
EDITION = "x-model-edition"
QUERY, BULK, PART = slice(5, 6), slice(0, 24), slice(3, 9)


@dataclass
class Tally:
    """What became of the calls of one caller.

    repeated  calls that the client itself sent again
    moves     times, on the monotonic clock, when its revision was another one than before
    """

    right: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    repeated: int = 0
    moves: list[float] = field(default_factory=list)
    slowest: float = 0.0  # seconds

    @property
    def calls(self) -> int:
        return self.right + self.refused + len(self.failed) + len(self.wrong)

    @property
    def moving_seconds(self) -> float:
        """From the first change of revision to the last."""
        return self.moves[-1] - self.moves[0] if self.moves else 0.0


class Caller(ABC):
    """One caller, who goes on for ever.

    known  edition → (N, D) what it gives for all texts
    """

    def __init__(
        self, name: str, calls: Sequence[slice], known: Mapping[str, NDArray[np.float32]]
    ) -> None:
        self.name = name
        self.tally = Tally()
        self._calls = calls
        self._known = known
        self._edition = ""

    async def run(self) -> None:
        number = 0
        while True:
            number += 1
            began = time.monotonic()
            await self._call(self._calls[number % len(self._calls)])
            self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)
            await asyncio.sleep(PAUSE_SECONDS)

    def use(self, key: str) -> None:
        """From now on with this key."""
        self._headers = {"Authorization": f"Bearer {key}"}

    @abstractmethod
    async def _call(self, texts: slice) -> None: ...

    def _check(self, texts: slice, edition: str, rows: Sequence[Sequence[float]]) -> None:
        tally = self.tally
        if wrong := find_fault(texts, edition, rows, self._known):
            tally.wrong.append(f"{self.name}: {wrong}")
        else:
            tally.right += 1
        if edition != self._edition != "":
            tally.moves.append(time.monotonic())
        self._edition = edition


def find_fault(
    texts: slice,
    edition: str,
    rows: Sequence[Sequence[float]],
    known: Mapping[str, NDArray[np.float32]],
) -> str:
    """What is wrong with an answer; empty if every vector is of the edition that it names."""
    if edition not in known:
        return f"an unknown edition {edition!r}"
    if len({len(row) for row in rows}) != 1:
        return f"vectors of several sizes of edition {edition}"
    got, expected = np.array(rows, dtype=np.float32), known[edition][texts]
    if got.shape != expected.shape:
        return f"{got.shape} of edition {edition}"
    difference = float(np.abs(got - expected).max())
    return "" if difference <= MAX_DIFFERENCE else f"{difference} off edition {edition}"


class PlainCaller(Caller):
    """httpx, which repeats nothing."""

    def __init__(
        self,
        name: str,
        url: str,
        calls: Sequence[slice],
        known: Mapping[str, NDArray[np.float32]],
    ) -> None:
        super().__init__(name, calls, known)
        self._client = httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS)

    async def _call(self, texts: slice) -> None:
        body = {"model": NAME, "input": TEXTS[texts]}
        try:
            answer = await self._client.post("/v1/embeddings", json=body, headers=self._headers)
        except httpx.HTTPError as error:
            self.tally.failed.append(f"{self.name}: {error!r}")
            return
        if answer.status_code in (429, 503) and "retry-after" in answer.headers:
            self.tally.refused += 1
        elif answer.status_code != 200:
            self.tally.failed.append(f"{self.name}: {answer.status_code} {answer.text[:200]}")
        else:
            rows = [row["embedding"] for row in answer.json()["data"]]
            self._check(texts, answer.headers[EDITION], rows)


class OpenAICaller(Caller):
    """OpenAI's client as it comes: it repeats what was refused or broke off, twice."""

    def __init__(self, calls: Sequence[slice], known: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__("openai", calls, known)
        self._sent = 0
        self._client = openai.AsyncOpenAI(
            base_url=f"{PLAIN_URL}/v1",
            api_key="given with each call",
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"request": [self._count]}),
        )

    async def _count(self, request: httpx.Request) -> None:
        self._sent += 1

    async def _call(self, texts: slice) -> None:
        before = self._sent
        try:
            answer = await self._client.embeddings.with_raw_response.create(
                model=NAME, input=TEXTS[texts], extra_headers=self._headers
            )
        except openai.OpenAIError as error:
            self.tally.failed.append(f"{self.name}: {error!r}")
        else:
            rows = [row.embedding for row in answer.parse().data]
            self._check(texts, answer.headers[EDITION], rows)
        self.tally.repeated += self._sent - before - 1


@dataclass
class Load:
    """All callers, each with the key of its name."""

    callers: list[Caller]

    @classmethod
    def make(cls, known: Mapping[str, NDArray[np.float32]]) -> "Load":
        return cls(
            [
                PlainCaller("queries", PLAIN_URL, [QUERY], known),
                PlainCaller("bulk", PLAIN_URL, [BULK, PART], known),
                PlainCaller("repeating", REPEATING_URL, [QUERY, PART], known),
                OpenAICaller([PART, QUERY], known),
            ]
        )

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            for caller in self.callers:
                group.create_task(caller.run())

    def begin(self) -> None:
        """Counts anew."""
        for caller in self.callers:
            caller.tally = Tally()

    @property
    def tallies(self) -> dict[str, Tally]:
        return {caller.name: caller.tally for caller in self.callers}
