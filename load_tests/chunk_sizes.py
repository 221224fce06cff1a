"""How large a chunk for a GPU may be: callers beside each other, in virtual time.

    python -m load_tests.chunk_sizes

The gateway's own lanes and chunks, the encoder's own backlog, and a device that takes its time by
the tokens of a micro-batch. Nothing waits for a clock, so the figures are the same on any machine,
however busy: what they show is the order of things, not the cost of the hops.
"""

import asyncio
import selectors
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import numpy as np

from export.steps.batching.backlog import Backlog
from export.steps.batching.requests import MicroBatch, Request
from export.steps.memory import Memory
from gateway.access.keys import Caller
from gateway.inference import chunking
from gateway.inference.lanes import Lanes
from gateway.inference.windows import Windows
from load_tests.gpu.shapes import MIXED

# Tokens of a micro-batch, and tokens a second: docs/benchmarks-gpu.md, queries under bulk.
DEVICES = {"minilm": (16_384, 5.5e6), "base": (11_776, 1.8e6), "large": (4_096, 0.63e6)}
LAUNCH_SECONDS = 0.3e-3  # of a micro-batch, however small
WORKERS = 2  # one prepares while the other's micro-batch runs
HOP_SECONDS = 1.5e-3  # of a chunk, there and back
TOKENIZER_SECONDS = 5e-6  # of a text, one chunk after the other
ESTIMATED_TOKENS = 1.5  # a token, of English by its bytes
QUERY_TOKENS = 16
SECONDS = 4.0  # virtual
# And the bulk window, both in estimated tokens by those of a micro-batch.
CHUNKS = ((0.25, 4), (1, 4), (1.5, 4), (1.5, 6), (2, 4))


@dataclass(frozen=True, slots=True)
class Workload:
    """Callers of bulk, each of which asks again when it is answered, and paced queries.

    texts      of a call of each caller
    queries_s  of one text, a second
    """

    texts: Sequence[int]
    queries_s: float = 0.0


WORKLOADS = {
    "8 x 256, 50 queries a second": Workload([256] * 8, 50.0),
    "4 x 256 beside 1 x 16": Workload([256] * 4 + [16]),
    "16 x 256 beside 4 x 16": Workload([256] * 16 + [16] * 4),
    "8 x 64": Workload([64] * 8),
}


class VirtualTime(selectors.DefaultSelector):
    """Instead of waiting it is later."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


def virtual_loop() -> asyncio.AbstractEventLoop:
    clock = VirtualTime()
    loop = asyncio.SelectorEventLoop(clock)
    loop.time = lambda: clock.now  # type: ignore[method-assign]
    return loop


class Device:
    """A Triton with a tokenizer, and a GPU that two workers share."""

    def __init__(self, micro_batch_tokens: int, tokens_s: float) -> None:
        memory = Memory(lambda tokens: tokens, WORKERS)  # of which there is enough
        self.embedded_tokens = 0
        self._backlog = Backlog(micro_batch_tokens, memory)
        self._tokens_s = tokens_s
        self._tokenizer, self._gpu = asyncio.Lock(), asyncio.Lock()
        self._has_more = asyncio.Event()
        self._workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]

    async def infer(self, tokens: Sequence[int]) -> None:
        """Answers a chunk of texts of so many tokens."""
        await asyncio.sleep(HOP_SECONDS / 2)
        async with self._tokenizer:
            await asyncio.sleep(TOKENIZER_SECONDS * len(tokens))
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        ids = np.zeros(sum(tokens), dtype=np.int64)
        self._backlog.add(Request(ids, np.array(tokens, dtype=np.int32), answer))
        self._has_more.set()
        await answer
        await asyncio.sleep(HOP_SECONDS / 2)

    async def _work(self) -> None:
        while True:
            while not self._backlog.is_ready:
                self._has_more.clear()
                await self._has_more.wait()
            micro_batch = self._backlog.take(workers=None)
            tokens = sum(len(part.input_ids) for part in micro_batch)
            async with self._gpu:
                await asyncio.sleep(LAUNCH_SECONDS + tokens / self._tokens_s)
            self.embedded_tokens += tokens
            self._backlog.leave(micro_batch)
            _answer(micro_batch)


def _answer(micro_batch: MicroBatch) -> None:
    for part in micro_batch:
        if part.request.put(part.texts, np.zeros((len(part.seq_lens), 1), dtype=np.float32)):
            part.request.tell()


@dataclass
class Gateway:
    """Lanes before a device, and what callers saw.

    max_tokens, max_texts  of a chunk
    seconds                of each call, by its texts
    """

    device: Device
    lanes: Lanes
    max_tokens: int
    max_texts: int
    seconds: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    tokens: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    async def embed(self, caller: Caller, tokens: Sequence[int]) -> None:
        began = asyncio.get_running_loop().time()
        estimates = [int(ESTIMATED_TOKENS * each) + 2 for each in tokens]
        lane = self.lanes.lane_of(sum(estimates))

        async def send(chunk: Sequence[int]) -> None:
            estimated = sum(estimates[index] for index in chunk)
            window = await lane.take(caller, estimated)
            try:
                await self.device.infer([tokens[index] for index in chunk])
            finally:
                lane.give_back(estimated, window)

        chunks = chunking.cut(estimates, max_tokens=self.max_tokens, max_texts=self.max_texts)
        await asyncio.gather(*map(send, chunks))
        self.seconds[len(tokens)].append(asyncio.get_running_loop().time() - began)
        self.tokens[len(tokens)] += sum(tokens)


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one run: tokens a second of all and of a caller by its texts, seconds of queries."""

    tokens_s: float
    tokens_s_of_callers: dict[int, float]
    query_seconds: list[float]

    @property
    def evenness(self) -> float:
        """Tokens of a caller of small calls for each of a caller of big ones."""
        texts = self.tokens_s_of_callers
        return texts[min(texts)] / texts[max(texts)]


def simulate(
    workload: Workload, device: tuple[int, float], chunk: float, window: float, seconds: float
) -> Seen:
    """What callers see.

    device         tokens of its micro-batch, and tokens a second
    chunk, window  as in CHUNKS
    """
    with asyncio.Runner(loop_factory=virtual_loop) as runner:
        return runner.run(_simulate(workload, device, chunk, window, seconds))


async def _simulate(
    workload: Workload, device: tuple[int, float], chunk: float, window: float, seconds: float
) -> Seen:
    tokens, _ = device
    windows = Windows(bulk=int(window * tokens), interactive=2 * tokens)
    max_tokens, max_texts = chunking.limits(int(chunk * tokens), 64, micro_batch_tokens=0)
    gateway = Gateway(Device(*device), Lanes(windows), max_tokens, max_texts)
    works = [partial(_ask_on, gateway, number, n) for number, n in enumerate(workload.texts)]
    running = [asyncio.create_task(work()) for work in works]
    if workload.queries_s:
        running.append(asyncio.create_task(_query(gateway, workload.queries_s)))
    await asyncio.sleep(seconds)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    callers = {n: workload.texts.count(n) for n in workload.texts}
    return Seen(
        gateway.device.embedded_tokens / seconds,
        {n: gateway.tokens[n] / seconds / callers[n] for n in callers},
        gateway.seconds[1],
    )


async def _ask_on(gateway: Gateway, number: int, texts: int) -> None:
    """A caller of bulk."""
    caller, rng = Caller(number.to_bytes(32, "big")), np.random.default_rng(number)
    while True:
        await gateway.embed(caller, MIXED.draw(texts, rng).tolist())


async def _query(gateway: Gateway, queries_s: float) -> None:
    """A caller of queries, whether or not the last one is answered."""
    caller = Caller(b"q" * 32)
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(gateway.embed(caller, [QUERY_TOKENS]))
            await asyncio.sleep(1 / queries_s)


def main() -> None:
    print("| device | callers | chunk | window | tokens per s | small ÷ big | query p50, p99, ms |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for (name, device), (callers, workload) in product(DEVICES.items(), WORKLOADS.items()):
        for chunk, window in CHUNKS:
            seen = simulate(workload, device, chunk, window, SECONDS)
            is_even = len(seen.tokens_s_of_callers) == 1
            evenness = "" if is_even else f"{seen.evenness:.2f}"
            queries = np.percentile(seen.query_seconds or [np.nan], [50, 99]) * 1e3
            waited = ", ".join(f"{each:.1f}" for each in queries) if workload.queries_s else ""
            rate = f"{seen.tokens_s / 1e6:.2f} M"
            print(f"| {name} | {callers} | {chunk:g} | {window} | {rate} | {evenness} | {waited} |")


if __name__ == "__main__":
    main()
