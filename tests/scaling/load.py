"""Callers: as many tokens a second as a plan says, sent as an SDK sends them."""

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import orjson

from tests.fakes import MODEL
from tests.scaling.clock import Clock
from tests.scaling.pods import count_tokens

TEXT = "a" + " a" * 253
TEXT_TOKENS = count_tokens(TEXT.encode())  # 256
CALL_TEXTS = (4, 8, 16, 32)
QUESTION = "a" + " a" * 29
QUESTIONS_PER_SECOND = 1.0
# As the SDKs of OpenAI and Mixedbread do.
MOST_RETRIES = 2


@dataclass(slots=True)
class Call:
    """What became of one: sent first at `at`, `seconds` until its last answer."""

    at: float
    tokens: int
    is_question: bool = False
    seconds: float = 0.0
    status: int = 0
    refusals: int = 0


@dataclass
class Load:
    """urls are those of the gateways, asked in turns as by a Service."""

    clock: Clock
    session: aiohttp.ClientSession
    urls: Sequence[str]
    keys: Sequence[str]
    seed: str
    calls: list[Call] = field(default_factory=list)
    _open: "set[asyncio.Task[None]]" = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - the same load at every run
        self._turns = zip(itertools.cycle(self.urls), itertools.count(), strict=False)

    async def offer(self, rate: Callable[[float], float], until: float) -> None:
        """Big calls, so many tokens a second at each moment, whether they are answered or not."""
        while (now := self.clock.now()) < until:
            tokens = TEXT_TOKENS * self._random.choice(CALL_TEXTS)
            per_second = rate(now)
            if per_second <= 0:
                await self.clock.sleep(1)
                continue
            self._begin(Call(now, tokens))
            await self.clock.sleep_until(now + self._random.expovariate(per_second / tokens))

    async def question(self, until: float) -> None:
        """Small calls, of which somebody waits for the answer."""
        while (now := self.clock.now()) < until:
            self._begin(Call(now, count_tokens(QUESTION.encode()), is_question=True))
            await self.clock.sleep_until(now + self._random.expovariate(QUESTIONS_PER_SECOND))

    async def work_through(self, workers: int, until: float) -> None:
        """A bulk job: each worker calls again as soon as it is answered."""

        async def work() -> None:
            while self.clock.now() < until:
                call = Call(self.clock.now(), TEXT_TOKENS * CALL_TEXTS[-1])
                self.calls.append(call)
                await self._run(call)

        await asyncio.gather(*(work() for _ in range(workers)))

    async def finish(self) -> None:
        """Hears what is still open."""
        await asyncio.gather(*self._open)

    def _begin(self, call: Call) -> None:
        self.calls.append(call)
        self._open.add(task := asyncio.create_task(self._run(call)))
        task.add_done_callback(self._open.discard)

    async def _run(self, call: Call) -> None:
        texts = [QUESTION] if call.is_question else [TEXT] * (call.tokens // TEXT_TOKENS)
        body = orjson.dumps({"model": MODEL, "input": texts, "encoding_format": "base64"})
        for attempt in range(1 + MOST_RETRIES):
            call.status, retry_after = await self._post(body)
            if call.status not in (429, 503):
                break
            call.refusals += 1
            if attempt < MOST_RETRIES:
                await self.clock.sleep(retry_after)
        call.seconds = self.clock.now() - call.at

    async def _post(self, body: bytes) -> tuple[int, float]:
        """Status, and seconds after which to try again; 503 where there is no gateway."""
        url, turn = next(self._turns)
        headers = {"Authorization": f"Bearer {self.keys[turn // len(self.urls) % len(self.keys)]}"}
        try:
            async with self.session.post(f"{url}/v1/embeddings", data=body, headers=headers) as got:
                await got.read()
                return got.status, float(got.headers.get("Retry-After", 1))
        except aiohttp.ClientError:
            return 503, 1.0
