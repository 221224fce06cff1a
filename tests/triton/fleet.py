"""Two real Tritons behind two gateways, and faults under a steady load of checked calls.

    python -m tests.triton.fleet --seconds 6

Callers embed known texts without a pause and compare every number with what the model's own files
give. Meanwhile one Triton is killed, stopped, ended, loses a step; both get another revision of the
model, one after the other; the name that they are found by changes. Each row of the table is a
fault: the calls while it lasted and until all was well again, and how long the gateways took
to leave the Triton, and to come back once it was there.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from export import ExportOptions, Serving, export_model
from export.names import STEP_NAMES, step_folder
from export.steps.inference import CpuEncoder
from export.steps.quantization import quantize
from export.steps.tokenization import PackedTokenizer
from gateway.local.triton_process import LOOPBACK, TritonProcess, free_ports
from load_tests.bench.processes import running
from tests.checkpoints import make_checkpoint
from tests.serving import PATIENCE_SECONDS
from tests.texts import mixed_texts

NAME, FOLDER = "tiny/m", "tiny--m"
SIZES = (32, 64)  # of the revisions
TEXTS = mixed_texts(24, longest_words=30)
CALLS = (slice(0, 1), slice(0, 24), slice(3, 9), slice(5, 6))
CALLERS = 3
POLL_SECONDS = 0.05
NAME_SECONDS = 4.0  # in which the gateway asks twice for the addresses of a name
MAX_DIFFERENCE = 1e-6  # of unit vectors, in the company of other calls


@dataclass(frozen=True)
class Revision:
    """An exported model, and (N, D) what it gives for all texts."""

    repository: Path
    edition: str
    vectors: NDArray[np.float32]


def make_revision(folder: Path, size: int) -> Revision:
    """A random model of so many dimensions."""
    checkpoint = make_checkpoint(folder / f"checkpoint-{size}", "bert", hidden_size=size)
    repository = folder / f"models-{size}"
    options = ExportOptions(
        output=repository, checkpoint=str(checkpoint), serving=Serving(served_name=NAME)
    )
    manifest = export_model(options, report=lambda line: None).manifest
    tokenizer, encoder, _ = (
        repository / step_folder(FOLDER, manifest.edition, step) / "1" for step in STEP_NAMES
    )
    packed = PackedTokenizer(tokenizer / "tokenizer.json", 64)
    cpu = CpuEncoder(encoder / "model.onnx", threads=1)
    pooled = np.concatenate([cpu.embed(*packed.tokenize([text])) for text in TEXTS])
    vectors = quantize(pooled, size, True, ["FLOAT"])["FLOAT"]
    return Revision(repository, manifest.edition, vectors)


class Member(TritonProcess):
    """One of the Tritons, which may get another repository."""

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.grpc_port}"

    def send(self, sent: signal.Signals) -> None:
        assert self.pid is not None
        os.kill(self.pid, sent)

    def serve(self, repository: Path) -> None:
        """Ends, and starts with another repository."""
        self._repository = repository
        self.start()


@dataclass
class Tally:
    """What became of the calls of one fault."""

    right: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: int = 0
    slowest: float = 0.0  # seconds
    unready: int = 0  # polls

    @property
    def calls(self) -> int:
        return self.right + self.refused + len(self.failed) + self.wrong


@dataclass
class Load:
    """Callers that compare what they get, and one that asks which Tritons are ill.

    check  whether the vectors for some of the texts are right
    """

    clients: Sequence[httpx.AsyncClient]  # of the gateways
    model: str
    texts: Sequence[str]
    calls: Sequence[slice]
    check: Callable[[slice, NDArray[np.float32]], bool]
    tally: Tally = field(default_factory=Tally)
    ill: dict[str, str] = field(default_factory=dict)
    is_ready: bool = False

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            for number in range(CALLERS):
                group.create_task(self._call_for_ever(number))

    async def _call_for_ever(self, number: int) -> None:
        while True:
            number += 1
            client = self.clients[number % len(self.clients)]
            await self._call(client, self.calls[number // 2 % len(self.calls)])

    async def _call(self, client: httpx.AsyncClient, texts: slice) -> None:
        tally, began = self.tally, time.monotonic()
        body = {"model": self.model, "input": self.texts[texts]}
        try:
            response = await client.post("/v1/embeddings", json=body)
        except httpx.HTTPError as error:
            tally.failed.append(repr(error))
            return
        if response.status_code in (429, 503):
            tally.refused += 1
            await asyncio.sleep(0.05)
        elif response.status_code != 200:
            tally.failed.append(response.text)
        else:
            rows = [row["embedding"] for row in response.json()["data"]]
            if self.check(texts, np.array(rows, dtype=np.float32)):
                tally.right += 1
            else:
                tally.wrong += 1
        tally.slowest = max(tally.slowest, time.monotonic() - began)

    async def _poll(self) -> None:
        while True:
            answers = [await client.get("/health/ready") for client in self.clients]
            unready = sum(answer.status_code != 200 for answer in answers)
            told = [answer.json() for answer in answers]
            ill = [
                one.get("tritons", {}) | one.get("details", {}).get("tritons", {}) for one in told
            ]
            self.ill = {address: why for one in ill for address, why in one.items()}
            self.is_ready = not unready
            self.tally.unready += unready
            await asyncio.sleep(POLL_SECONDS)

    async def until(self, holds: Callable[[], bool]) -> float:
        """Seconds until it holds."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() < began + PATIENCE_SECONDS, self.ill
            await asyncio.sleep(POLL_SECONDS / 5)
        return time.monotonic() - began


@asynccontextmanager
async def loaded(load: Load) -> AsyncIterator[None]:
    """The load goes on during the block, and begins when all is well."""
    task = asyncio.create_task(load.run())
    try:
        await load.until(lambda: load.is_ready and not load.ill)
        load.tally = Tally()
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def gateway_before(
    members: Sequence[Member], folder: Path, **settings: str
) -> AsyncIterator[tuple[httpx.AsyncClient, Path]]:
    """A client of a gateway, and the file in which it finds the addresses of the Tritons."""
    names = folder / "names"
    names.write_text("\n".join(member.address for member in members))
    (port,) = free_ports(1)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    environ = inherited | {"GATEWAY_AUTH": "off", "GATEWAY_PORT": str(port)} | settings
    command = [sys.executable, "-m", "tests.triton.fleet_gateway", str(names)]
    log = folder / f"gateway-{port}.log"
    with running(command, environ, log, Path(__file__).parents[2]):
        url = f"http://{LOOPBACK}:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                with suppress(httpx.HTTPError):
                    await client.get("/health/live")
                    break
                assert time.monotonic() < deadline, log.read_text()
                await asyncio.sleep(POLL_SECONDS)
            yield client, names


@dataclass
class Times:
    """Seconds until a Triton was left, and until it was asked again once it was there."""

    left: float | None = None
    back: float | None = None


async def disturb(
    load: Load, member: Member, harm: Callable[[], None], mend: Callable[[], object]
) -> Times:
    """Harms a Triton, mends it once the gateway has left it, and waits until it is asked again."""
    await asyncio.to_thread(harm)
    left = await load.until(lambda: member.address in load.ill)
    await asyncio.to_thread(mend)
    return Times(left, await load.until(lambda: not load.ill))


async def kill(load: Load, member: Member) -> Times:
    return await disturb(load, member, lambda: member.send(signal.SIGKILL), member.start)


async def stop(load: Load, member: Member) -> Times:
    def go_on() -> None:
        time.sleep(2)  # as long as somebody looks at it
        member.send(signal.SIGCONT)

    return await disturb(load, member, lambda: member.send(signal.SIGSTOP), go_on)


async def end(load: Load, member: Member) -> Times:
    return await disturb(load, member, lambda: member.send(signal.SIGTERM), member.start)


async def kill_step(load: Load, member: Member) -> Times:
    step = min(member.step_pids)
    return await disturb(load, member, lambda: os.kill(step, signal.SIGKILL), member.start)


@dataclass
class Row:
    """One fault."""

    name: str
    tally: Tally
    times: Times

    def __str__(self) -> str:
        tally = self.tally
        return (
            f"| {self.name} | {tally.calls} | {tally.right} | {tally.refused}"
            f" | {len(tally.failed)} | {tally.wrong} | {tally.unready} | {tally.slowest:.2f}"
            f" | {_seconds(self.times.left)} | {_seconds(self.times.back)} |"
        )


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"


HEAD = (
    "| fault | calls | right | refused | failed | wrong | unready polls | slowest call, s"
    " | left after, s | back after, s |\n|" + " --- |" * 10
)


async def measure(load: Load, name: str, fault: Awaitable[Times], seconds: float) -> Row:
    """The calls during a fault, and for some seconds before and after it."""
    load.tally = tally = Tally()
    await asyncio.sleep(seconds / 2)
    times = await fault
    await asyncio.sleep(seconds / 2)
    return Row(name, tally, times)


async def show(folder: Path, seconds: float) -> bool:
    """Prints a row for each fault; whether none failed a call."""
    revisions = [make_revision(folder, size) for size in SIZES]

    def check(texts: slice, rows: NDArray[np.float32]) -> bool:
        expected = [one.vectors[texts] for one in revisions]
        return any(
            rows.shape == one.shape and np.abs(rows - one).max() <= MAX_DIFFERENCE
            for one in expected
        )

    with ExitStack() as stack:
        members = [
            stack.enter_context(
                Member(revisions[0].repository, folder / f"triton-{n}.log", f"fleet-{n}")
            )
            for n in range(2)
        ]
        await asyncio.gather(*(asyncio.to_thread(member.start) for member in members))
        async with (
            gateway_before(members, folder) as (one, names),
            gateway_before(members, folder) as (other, _),
        ):
            load = Load([one, other], NAME, TEXTS, CALLS, check)

            async def change_names() -> Times:
                addresses = [member.address for member in members]
                for known in (addresses[:1], addresses[1:], addresses):
                    names.write_text("\n".join(known))
                    await asyncio.sleep(NAME_SECONDS)
                return Times()

            async def roll() -> Times:
                for member in members:
                    await asyncio.to_thread(member.serve, revisions[1].repository)
                    await load.until(lambda: not load.ill)
                return Times()

            faults: dict[str, Callable[[], Awaitable[Times]]] = {
                "nothing": lambda: asyncio.sleep(0, Times()),
                "one of two killed (SIGKILL)": lambda: kill(load, members[0]),
                "one of two stopped (SIGSTOP), goes on": lambda: stop(load, members[1]),
                "one of two ends (SIGTERM), port open": lambda: end(load, members[0]),
                "a step of one killed": lambda: kill_step(load, members[1]),
                "the name's addresses change": change_names,
                "another revision, one after the other": roll,
            }
            print(HEAD)
            rows = []
            async with loaded(load):
                for name, fault in faults.items():
                    rows.append(await measure(load, name, fault(), seconds))
                    print(rows[-1], flush=True)
    failed = [text for row in rows for text in row.tally.failed]
    print(*failed[:10], sep="\n")
    return not failed and not any(row.tally.wrong or row.tally.refused for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 if a call failed, was refused or got a wrong vector."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.triton.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="around each fault")
    options: Any = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return int(not asyncio.run(show(Path(folder), options.seconds)))


if __name__ == "__main__":
    sys.exit(main())
