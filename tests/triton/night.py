"""A night: two gateways, two real Tritons and a Redis, and what goes wrong in one.

    python -m tests.triton.night --seconds 6

Callers embed known texts through both gateways, as behind a load balancer: what one gateway did not
answer goes to the other. Every number is compared with what the model's own files give. Each row
is a fault. At the end the usage log is compared with the answers, and everything that was written
down is searched for the key and for the texts.

The rows of a full disk and of the clock need root to mount a small disk, and libfaketime.
"""

import argparse
import asyncio
import hashlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from gateway.local.triton_process import LOOPBACK, free_ports
from load_tests.redis_server import RedisServer, running_redis
from tests.serving import PATIENCE_SECONDS
from tests.triton.fleet import (
    CALLS,
    HEAD,
    MAX_DIFFERENCE,
    NAME,
    SIZES,
    TEXTS,
    Load,
    Member,
    Row,
    Tally,
    Times,
    loaded,
    make_revision,
    measure,
)

ROOT = Path(__file__).parents[2]
KEY = f"te-{secrets.token_urlsafe(32)}"
KEY_NAME = "night-shift"
DISK_KIB = 8192
DRAIN_SECONDS = 1.0
READY_SECONDS = 1.0  # before the next one is restarted, as minReadySeconds of a Deployment
LIBFAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
HOURS_BACK = 30


@dataclass
class Gateway:
    """One gateway process, which can be started again on its port."""

    environ: Mapping[str, str]
    log: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Returns once it is ready, if any Triton is."""
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "--port", str(self.port)],
                env=self.environ, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(httpx.HTTPError):
                httpx.get(f"{self.url}/health/ready").raise_for_status()
                return
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def end(self, sent: signal.Signals) -> int:
        """Its exit code."""
        assert self.process is not None
        self.process.send_signal(sent)
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """Whatever it does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def metric(self, name: str) -> float:
        """A gauge without labels."""
        text = httpx.get(f"{self.url}/metrics").text
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else float("nan")


class Balancer(httpx.AsyncBaseTransport):
    """Sends every request to the next gateway that is ready, and to another if one is lost."""

    def __init__(self, gateways: Sequence[Gateway]) -> None:
        self._ports = [gateway.port for gateway in gateways]
        self._transport = httpx.AsyncHTTPTransport()
        self._turn = 0
        self.moved = 0
        self.is_ready = dict.fromkeys(self._ports, True)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._turn += 1
        ports = self._ports[self._turn % 2 :] + self._ports[: self._turn % 2]
        ports.sort(key=lambda port: not self.is_ready[port])
        for port in ports[:-1]:
            try:
                return await self._send(request, port)
            except httpx.TransportError:
                self.moved += 1
        return await self._send(request, ports[-1])

    async def _send(self, request: httpx.Request, port: int) -> httpx.Response:
        request.url = request.url.copy_with(port=port)
        response = await self._transport.handle_async_request(request)
        await response.aread()
        return response

    async def watch(self) -> None:
        """As load balancers do, for ever."""
        async with httpx.AsyncClient() as client:
            while True:
                for port in self._ports:
                    try:
                        url = f"http://{LOOPBACK}:{port}/health/ready"
                        self.is_ready[port] = (await client.get(url)).status_code == 200
                    except httpx.TransportError:
                        self.is_ready[port] = False
                await asyncio.sleep(0.2)


def key_table(digest: str = "") -> str:
    digest = digest or hashlib.sha256(KEY.encode()).hexdigest()
    return (
        f'[[keys]]\nname = "{KEY_NAME}"\ndigest = "sha256:{digest}"\n'
        "requests_per_minute = 1000000\ntokens_per_minute = 100000000\n"
    )


@contextmanager
def small_disk(folder: Path, kib: int = DISK_KIB) -> Iterator[bool]:
    """Whether the folder is a disk of its own now, that can be filled."""
    words = ["-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(["/bin/mount", *words], check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["/bin/umount", "-l", str(folder)], check=True)


@dataclass
class Night:
    """Everything that runs, and what is done to it."""

    folder: Path
    members: list[Member]
    gateways: list[Gateway]
    redis: RedisServer
    load: Load
    can_fill: bool

    async def restart_gateways(self) -> Times:
        for gateway in self.gateways:
            code = await asyncio.to_thread(gateway.end, signal.SIGTERM)
            assert code == 0, code
            await asyncio.to_thread(gateway.start)
            await asyncio.sleep(READY_SECONDS)
        return Times()

    async def kill_gateway(self) -> Times:
        began = time.monotonic()
        await asyncio.to_thread(self.gateways[0].end, signal.SIGKILL)
        await asyncio.to_thread(self.gateways[0].start)
        return Times(back=time.monotonic() - began)

    async def lose_all(self, sent: signal.Signals) -> Times:
        """Both Tritons at once."""
        for member in self.members:
            member.send(sent)
        left = await self.load.until(lambda: not self.load.is_ready)
        for member in self.members:
            if sent == signal.SIGSTOP:
                member.send(signal.SIGCONT)
            else:
                await asyncio.to_thread(member.start)
        return Times(left, await self.load.until(lambda: self.load.is_ready and not self.load.ill))

    async def restart_tritons(self) -> Times:
        for member in self.members:
            await asyncio.to_thread(member.start)  # ends it first
            await self.load.until(lambda: self.load.is_ready and not self.load.ill)
            await asyncio.sleep(READY_SECONDS)
        return Times()

    async def lose_redis(self) -> Times:
        self.redis.stop()
        left = await self._until_metric("gateway_rate_limits_shared", 0)
        await asyncio.to_thread(self.redis.start)
        return Times(left, await self._until_metric("gateway_rate_limits_shared", 1))

    async def break_keys(self) -> Times:
        path = self.folder / "keys.toml"
        path.write_text(key_table()[:-40] + "\n[[keys")
        left = await self._until_metric("gateway_key_file_valid", 0)
        path.write_text(key_table())
        return Times(left, await self._until_metric("gateway_key_file_valid", 1))

    async def fill_disk(self) -> Times:
        filler = self.folder / "usage" / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        left = await self._until(lambda gateway: gateway.metric("gateway_usage_unwritten_records"))
        filler.unlink()
        return Times(
            left,
            await self._until(
                lambda gateway: not gateway.metric("gateway_usage_unwritten_records")
            ),
        )

    async def set_back_clock(self) -> Times:
        (self.folder / "clock").write_text(f"-{HOURS_BACK}h")
        await asyncio.sleep(4)
        (self.folder / "clock").write_text("+0")
        return Times()

    async def _until_metric(self, name: str, value: float) -> float:
        return await self._until(lambda gateway: gateway.metric(name) == value)

    async def _until(self, holds: Callable[[Gateway], object]) -> float:
        """Seconds until it holds of every gateway."""
        began = time.monotonic()
        while not all([await asyncio.to_thread(holds, gateway) for gateway in self.gateways]):
            assert time.monotonic() < began + PATIENCE_SECONDS
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    @property
    def faults(self) -> dict[str, Callable[[], Awaitable[Times]]]:
        found: dict[str, Callable[[], Awaitable[Times]]] = {
            "nothing": lambda: asyncio.sleep(0, Times()),
            "both Tritons killed": lambda: self.lose_all(signal.SIGKILL),
            "both Tritons ended (SIGTERM)": lambda: self.lose_all(signal.SIGTERM),
            "a gateway killed, started again": self.kill_gateway,
            "gateways restarted, one after the other": self.restart_gateways,
            "Tritons restarted, one after the other": self.restart_tritons,
            "Redis gone and back": self.lose_redis,
            "key file broken and mended": self.break_keys,
        }
        if self.can_fill:
            found["disk of the usage log full, then not"] = self.fill_disk
        if LIBFAKETIME:
            found[f"clock {HOURS_BACK} h back, then right"] = self.set_back_clock
        return found


def environment(folder: Path, members: Sequence[Member], redis_url: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    faked = {
        "LD_PRELOAD": str(LIBFAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return (
        inherited
        | (faked if LIBFAKETIME else {})
        | {
            "GATEWAY_TRITON_ADDRESS": ",".join(member.address for member in members),
            "GATEWAY_API_KEYS_FILE": str(folder / "keys.toml"),
            "GATEWAY_REDIS_URL": redis_url,
            "GATEWAY_USAGE_LOG": str(folder / "usage"),
            "GATEWAY_LOG_FORMAT": "json",
            "GATEWAY_LOG_LEVEL": "debug",
            "GATEWAY_DRAIN_SECONDS": str(DRAIN_SECONDS),
        }
    )


async def show(folder: Path, seconds: float, only: str) -> bool:
    """Prints a row for each fault, and what was found at the end; whether all is well."""
    revision = make_revision(folder, SIZES[0])
    (folder / "usage").mkdir()
    (folder / "keys.toml").write_text(key_table())
    (folder / "clock").write_text("+0")

    def check(texts: slice, rows: NDArray[np.float32]) -> bool:
        expected = revision.vectors[texts]
        return rows.shape == expected.shape and np.abs(rows - expected).max() <= MAX_DIFFERENCE

    with ExitStack() as stack:
        can_fill = stack.enter_context(small_disk(folder / "usage"))
        redis = stack.enter_context(running_redis())
        members = [
            stack.enter_context(
                Member(revision.repository, folder / f"triton-{n}.log", f"night-{n}")
            )
            for n in range(2)
        ]
        await asyncio.gather(*(asyncio.to_thread(member.start) for member in members))
        environ = environment(folder, members, redis.url)
        gateways = [Gateway(environ, folder / f"gateway-{n}.log") for n in range(2)]
        for gateway in gateways:
            await asyncio.to_thread(gateway.start)
            stack.callback(gateway.kill)
        balancer = Balancer(gateways)
        headers = {"Authorization": f"Bearer {KEY}"}
        total = Tally()
        async with httpx.AsyncClient(
            base_url=gateways[0].url, transport=balancer, headers=headers, timeout=PATIENCE_SECONDS
        ) as client:
            watching = asyncio.create_task(balancer.watch())
            load = Load([client], NAME, TEXTS, CALLS, check)
            night = Night(folder, members, gateways, redis, load, can_fill)
            print(HEAD.replace("| left after", "| sent on | left after"))
            async with loaded(load):
                for name, fault in night.faults.items():
                    if only not in name:
                        continue
                    moved = balancer.moved
                    row = await measure(load, name, fault(), seconds)
                    cells = str(row).split(" | ")
                    print(" | ".join([*cells[:-2], str(balancer.moved - moved), *cells[-2:]]))
                    print(*row.tally.failed[:3], sep="\n", end="", flush=True)
                    add(total, row)
            watching.cancel()
        for gateway in gateways:
            await asyncio.to_thread(gateway.end, signal.SIGTERM)
        billed = billed_texts(folder / "usage")
        leaks = found_in(folder, [KEY, *(text for text in TEXTS if len(text) > 12)])
        print(f"\n{total.right} answers were right in all; the usage log has {billed} calls")
        print(f"what was written down holds the key or a text: {leaks or 'nowhere'}")
        shutil.copytree(folder / "usage", folder / "usage-kept")
    return not (total.failed or total.wrong or leaks) and billed >= total.right


def add(total: Tally, row: Row) -> None:
    total.right += row.tally.right
    total.wrong += row.tally.wrong
    total.refused += row.tally.refused
    total.failed += row.tally.failed


def billed_texts(folder: Path) -> int:
    """Calls of the usage log, as its own command counts them."""
    words = [
        sys.executable,
        "-m",
        "gateway",
        "usage",
        str(folder),
        "--by",
        "key",
        "--format",
        "csv",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    print(done.stdout, done.stderr, sep="")
    header, *lines = done.stdout.strip().splitlines()
    place = header.split(",").index("calls")
    return sum(int(line.split(",")[place]) for line in lines)


def found_in(folder: Path, known: Sequence[str]) -> list[str]:
    """Files of a folder, models left out, that hold something known."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "models" not in str(path) and "checkpoint" not in str(path):
            data = path.read_bytes()
            found += [f"{path.name}: {text[:20]!r}" for text in known if text.encode() in data]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 if a call failed, a vector was wrong, an answer is not billed, a secret told."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.triton.night",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="around each fault")
    parser.add_argument("--only", default="", help="faults with this in their name")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return int(not asyncio.run(show(Path(folder), options.seconds, options.only)))


if __name__ == "__main__":
    sys.exit(main())
