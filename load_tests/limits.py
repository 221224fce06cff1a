"""python -m load_tests.limits: gateways that count together in one Redis, counted from outside.

Each gateway is a process of its own, on a Triton of constants (`load_tests.bench.constant`). They
share a key with a limit, are asked for more than that at once, and the answers are counted.
"""

import argparse
import asyncio
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp

from load_tests.redis_server import running_redis

START_SECONDS = 30.0
CALLERS = 8  # of each gateway


@contextmanager
def starting_gateway(key_file: Path, redis_url: str) -> Iterator[str]:
    """The address of a gateway that ends with the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = [sys.executable, "-m", "load_tests.bench.constant", "gateway", "--port", str(port)]
    environment = os.environ | {
        "GATEWAY_API_KEYS": "",
        "GATEWAY_API_KEYS_FILE": str(key_file),
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_REDIS_FAILURE": "closed",
        "GATEWAY_LOG_LEVEL": "error",
    }
    with subprocess.Popen(words, env=environment) as process:  # noqa: S603
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def _wait_until_ready(session: aiohttp.ClientSession, address: str) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with session.get(f"{address}/health/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


async def ask(addresses: Sequence[str], key: str, calls: int) -> tuple[Counter[int], float]:
    """How many of the calls, which the gateways get in turns, had which status, and the seconds."""
    statuses: Counter[int] = Counter()
    numbers = iter(range(calls))
    body = {"model": "constant-384", "input": "x", "encoding_format": "base64"}
    headers = {"Authorization": f"Bearer {key}"}

    async def call(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            url = f"{addresses[number % len(addresses)]}/v1/embeddings"
            async with session.post(url, json=body, headers=headers) as response:
                await response.read()
                statuses[response.status] += 1

    async with aiohttp.ClientSession() as session:
        for address in addresses:
            await _wait_until_ready(session, address)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS * len(addresses)):
                group.create_task(call(session))
    return statuses, time.monotonic() - began


def count(limit: int, calls: int, gateways: int) -> tuple[Counter[int], float]:
    """How many calls had which status, and the seconds that they took.

    limit  in requests a minute
    """
    key = secrets.token_urlsafe()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        digest = hashlib.sha256(key.encode()).hexdigest()
        key_file = folder / "keys.toml"
        key_file.write_text(
            f'[[keys]]\nname = "all"\ndigest = "sha256:{digest}"\nrequests_per_minute = {limit}\n'
        )
        redis = stack.enter_context(running_redis())
        addresses = [
            stack.enter_context(starting_gateway(key_file, redis.url)) for _ in range(gateways)
        ]
        return asyncio.run(ask(addresses, key, calls))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was counted; exit code 1 if it is not the limit to a call."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.limits", description=__doc__)
    parser.add_argument("--limit", type=int, default=10_000, help="requests a minute of the key")
    parser.add_argument("--calls", type=int, default=12_000)
    parser.add_argument("--gateways", type=int, default=2)
    options = parser.parse_args(arguments)
    statuses, seconds = count(options.limit, options.calls, options.gateways)
    print(
        f"{options.gateways} gateways, {options.calls} calls in {seconds:.1f} s:"
        f" {statuses[200]} answered, {statuses[429]} refused, limit {options.limit}"
    )
    if seconds >= 60:
        print("They took longer than the minute of a key: nothing is shown.", file=sys.stderr)
        return 1
    expected = {200: options.limit, 429: options.calls - options.limit}
    return 0 if statuses == Counter(expected) else 1


if __name__ == "__main__":
    sys.exit(main())
