"""gRPC or HTTP towards Triton: CPU microseconds a call of the client, and of tritonserver.

    python -m load_tests.host_path.transports

One Triton with an encoder of constants, no gateway. Each way sends the gateway's own request and
reads every tensor of the answer, but the bare one, which is no client: it sends bytes that were
made before and reads none, and so bounds what any client of Triton's HTTP could reach.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from export.names import folder_of
from gateway.local.triton_process import TritonProcess
from gateway.local.triton_wheel import CannotServe
from load_tests.host_path import clocks
from load_tests.host_path.repositories import served_name
from load_tests.host_path.sides import FOLDER, CannotMeasure, of_working_tree
from load_tests.host_path.worker import Worker
from load_tests.record import commit, machine

WAYS = ("grpc.aio, as the gateway", "tritonclient.http.aio", "HTTP, bare")
MODULE = "load_tests.host_path.transport_client"


@dataclass(frozen=True, slots=True)
class Case:
    """Texts of a call, its tokens each, and callers."""

    texts: int
    tokens: int
    callers: int

    def __str__(self) -> str:
        callers = "caller" if self.callers == 1 else "callers"
        return f"{self.texts} x {self.tokens} tokens, {self.callers} {callers}"


CASES = (Case(256, 65, 4), Case(64, 65, 8), Case(1, 12, 1), Case(1, 12, 32))
Cost = dict[str, float]  # role → µs a call


def measure(
    triton: TritonProcess, ensemble: str, rounds: int, seconds: float
) -> dict[Case, dict[str, Cost]]:
    """Medians over the rounds, the ways in turns.

    Raises: CannotMeasure.
    """
    assert triton.pid
    processes = clocks.roles(psutil.Process(triton.pid))
    log = FOLDER / "transport.log"
    found: dict[Case, dict[str, Cost]] = {}
    with Worker(MODULE, log, os.environ, Path()) as client:
        for case in CASES:
            costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
            for number in range(rounds):
                for way in WAYS if number % 2 else reversed(WAYS):
                    cost = _measure(client, processes, triton, ensemble, case, way, seconds)
                    costs[way].append(cost)
                    print(f"{case}: {way}: {cost}", flush=True)
            found[case] = {way: _medians(several) for way, several in costs.items()}
    return found


def table(found: dict[Case, dict[str, Cost]]) -> str:
    """A line for each kind of call and way."""
    lines = [
        "| calls | way | client | tritonserver | steps |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for case, ways in found.items():
        for way, cost in ways.items():
            steps = sum(cost[step] for step in ("tokenizer", "encoder", "quantize"))
            lines.append(
                f"| {case} | {way} | {cost['client']:.0f} | {cost['tritonserver']:.0f}"
                f" | {steps:.0f} |"
            )
    return "\n".join(lines)


def _measure(
    client: Worker,
    processes: dict[int, str],
    triton: TritonProcess,
    ensemble: str,
    case: Case,
    way: str,
    seconds: float,
) -> Cost:
    is_grpc = way.startswith("grpc")
    port = triton.grpc_port if is_grpc else triton.http_port
    client.prepare(
        {
            "way": ("grpc", "http", "bare")[WAYS.index(way)],
            "address": f"127.0.0.1:{port}",
            "ensemble": ensemble,
            "texts": case.texts,
            "tokens": case.tokens,
            "callers": case.callers,
            "seconds": seconds,
        }
    )
    before = clocks.read(processes)
    figures = client.go()
    taken = clocks.read(processes)
    taken.subtract(before)
    taken["client"] = figures["client"]
    # The root of this tree is Triton itself.
    taken["tritonserver"] += taken.pop("gateway", 0)
    return {role: spent / figures["calls"] / 1000 for role, spent in taken.items()}


def _medians(costs: Sequence[Cost]) -> Cost:
    return {role: median(cost[role] for cost in costs) for role in costs[0]}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.host_path.transports", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args(arguments)
    try:
        repository = of_working_tree().repository("GPU")
        with contextlib.ExitStack() as stack:
            log = FOLDER / "triton-transports.log"
            triton = stack.enter_context(TritonProcess(repository, log, "transports"))
            triton.start()
            found = measure(
                triton, folder_of(served_name(repository)), options.rounds, options.seconds
            )
    except (CannotMeasure, CannotServe) as error:
        print(f"transports: {error}", file=sys.stderr)
        return 1
    print(f"\n{machine()}, commit {commit()}; CPU µs a call\n\n{table(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
