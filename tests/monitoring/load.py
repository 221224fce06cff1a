"""Callers of the fleet: questions, an indexer, a guest; and more of them where a fault asks."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import httpx

from tests.monitoring.fleet import KEYS, Fleet
from tests.triton.fleet import NAME

WORDS = ("river", "bend", "stone", "meadow", "quiet", "light", "early", "morning", "snow")
QUESTIONS = 60  # that are asked again and again

Texts = Callable[[], list[str]]


def question() -> list[str]:
    """Half of them are known."""
    if random.random() < 0.5:  # noqa: S311 - no secret
        return [f"question {random.randrange(QUESTIONS)}"]  # noqa: S311
    return page(1, words=8)


def page(texts: int, words: int) -> list[str]:
    """Texts that nobody sent before."""
    return [
        " ".join([hex(random.getrandbits(64)), *random.choices(WORDS, k=words)])  # noqa: S311
        for _ in range(texts)
    ]


@dataclass
class Load:
    """Calls of both gateways in turns; what becomes of them is what the metrics tell."""

    fleet: Fleet
    client: httpx.AsyncClient
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, key: str, texts: Texts, pause_seconds: float) -> asyncio.Task[None]:
        """A caller that calls until it is cancelled."""
        task = asyncio.create_task(self._call_for_ever(key, texts, pause_seconds))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    @asynccontextmanager
    async def more(
        self, callers: int, key: str, texts: Texts, pause_seconds: float = 0.0
    ) -> AsyncIterator[None]:
        """So many callers more during the block."""
        tasks = [self.start(key, texts, pause_seconds) for _ in range(callers)]
        try:
            yield
        finally:
            await _end(tasks)

    async def _call_for_ever(self, key: str, texts: Texts, pause_seconds: float) -> None:
        headers = {"Authorization": f"Bearer {KEYS[key]}"}
        while True:
            gateway = random.choice(self.fleet.gateways)  # noqa: S311
            with suppress(httpx.HTTPError):
                body = {"model": NAME, "input": texts()}
                url = f"{gateway.calls_url}/v1/embeddings"
                answer = await self.client.post(url, json=body, headers=headers)
                if answer.status_code in (429, 503):
                    await asyncio.sleep(0.05)
            await asyncio.sleep(pause_seconds)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def calling(fleet: Fleet) -> AsyncIterator[Load]:
    """The steady callers, who end with the block."""
    context = ssl.create_default_context()
    fleet.authority.configure_trust(context)
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(verify=context, timeout=10, limits=limits) as client:
        load = Load(fleet, client)
        for _ in range(4):
            load.start("search", question, pause_seconds=0.15)
        load.start("indexer", partial(page, 60, words=20), pause_seconds=0.3)
        load.start("guest", question, pause_seconds=2.0)
        try:
            yield load
        finally:
            await _end(list(load.tasks))
