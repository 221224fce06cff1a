"""python -m load_tests.limit_cost: what limits of a key add to a call, in CPU of the gateway.

One gateway whose key has no limits, one that counts them itself and one that asks a Redis are asked
in turns, so that a busy machine is busy for all.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

from load_tests.bench.gateway import CASES, measure, recipe
from load_tests.bench.servers import KEY, Recipe, started
from load_tests.redis_server import running_redis

CASE = CASES[1]  # one question, base64: the smallest call, of which anything is the largest part
LIMITS = "requests_per_minute = 1_000_000_000\ntokens_per_minute = 1_000_000_000\n"


def _recipe(name: str, folder: Path, limits: str, redis_url: str = "") -> Recipe:
    """How to start a gateway whose key has these limits."""
    file = folder / f"{name}.toml"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    file.write_text(f'[[keys]]\nname = "measured"\ndigest = "sha256:{digest}"\n{limits}')
    environ = {
        "GATEWAY_API_KEYS_FILE": str(file),
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_REDIS_FAILURE": "closed",
    }
    return replace(recipe("gateway"), name=f"gateway-{name}", environ=tuple(environ.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints microseconds a call, the median of the rounds and their range."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.limit_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(running_redis())
        recipes = {
            "no limits": _recipe("none", folder, ""),
            "limits, counted here": _recipe("here", folder, LIMITS),
            "limits, counted in Redis": _recipe("redis", folder, LIMITS, redis.url),
        }
        servers = {what: stack.enter_context(started(one)) for what, one in recipes.items()}
        costs: dict[str, list[float]] = {what: [] for what in servers}
        for _ in range(options.rounds):
            for what, server in servers.items():
                cost, _ = measure(server, "/v1/embeddings", CASE, options.seconds)
                costs[what].append(1e3 * cost.cpu_milliseconds)
    print(f"{CASE}\n| gateway | CPU, µs a call | range |\n| --- | ---: | ---: |")
    for what, found in costs.items():
        print(f"| {what} | {median(found):.0f} | {min(found):.0f} to {max(found):.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
