"""Each alert fired once by a fault of the real thing, and the dashboard filled, as a picture.

    python -m tests.monitoring [--only Redis] [--factor 60] [--picture build/dashboard.png]

Two real gateways before two real Tritons, under load, are scraped by a real Prometheus with the
rules of the chart. All durations of the rules are divided by a factor, thresholds are as they are,
and it scrapes every second. Needs `prometheus` (apt-get install prometheus); as root the disk of
the usage log can be full, and with strace fsync can fail.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tests.monitoring.faults import Fault, Faults
from tests.monitoring.fleet import running_fleet
from tests.monitoring.load import calling
from tests.monitoring.picture import Span, draw
from tests.monitoring.prometheus import Prometheus, running
from tests.monitoring.rules import alerts, rendered_rules
from tests.prometheus import MISSING, find

WARM_UP_SECONDS = 20.0
QUIET_SECONDS = 20.0
PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.25


async def seconds_until(
    holds: Callable[[dict[str, dict[str, str]]], bool], prometheus: Prometheus
) -> float | None:
    """None if it does not hold in time."""
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE_SECONDS:
        if holds(await asyncio.to_thread(prometheus.firing)):
            return time.monotonic() - began
        await asyncio.sleep(LOOK_SECONDS)
    return None


async def watch(fault: Fault, prometheus: Prometheus) -> bool:
    """A row for each alert of a fault; whether all fired and were silent again."""
    said: dict[str, str] = {}

    async def fires(name: str) -> float | None:
        def holds(firing: dict[str, dict[str, str]]) -> bool:
            if name in firing:
                said[name] = firing[name]["summary"]
            return name in firing

        return await seconds_until(holds, prometheus)

    async def ends(name: str) -> float | None:
        return await seconds_until(lambda firing: name not in firing, prometheus)

    began = time.monotonic()
    async with fault.harm():
        took = time.monotonic() - began
        fired = await asyncio.gather(*map(fires, fault.alerts))
    resolved = await asyncio.gather(*map(ends, fault.alerts))
    for (name, what), up, down in zip(fault.alerts.items(), fired, resolved, strict=True):
        told = [f"{up + took:.1f}" if up is not None else "never",
                f"{down:.1f}" if down is not None else "never"]  # fmt: skip
        print(f"| {name} | {what} | {told[0]} | {told[1]} | {said.get(name, '')} |", flush=True)
    return None not in fired and None not in resolved


async def show(folder: Path, only: str, factor: float, picture: Path) -> bool:
    """Prints the table and draws the picture; whether all is as it should be."""
    async with AsyncExitStack() as stack:
        fleet = stack.enter_context(running_fleet(folder))
        prometheus = stack.enter_context(running(folder, fleet.targets, rendered_rules(), factor))
        load = await stack.enter_async_context(calling(fleet))
        faults = Faults(fleet, load).all()
        chosen = [fault for fault in faults if only in fault.what]
        if not chosen:
            names = "; ".join(fault.what for fault in faults)
            print(f"no fault has {only} in its name, but there are: {names}")
            return False
        began = time.time()
        await asyncio.sleep(WARM_UP_SECONDS)
        firing = prometheus.firing()
        print(f"{prometheus.up()} of {len(fleet.targets)} targets are scraped;", end=" ")
        print(f"without a fault {len(firing)} alerts fire", *firing)
        print("\n| alert | fault | fires after, s | silent after, s | says |")
        print("| --- | --- | --- | --- | --- |")
        is_well, spans, words, seen = not firing, [], [], set()
        for number, fault in enumerate(chosen, 1):
            span_began = time.time()
            is_well &= await watch(fault, prometheus)
            spans.append(Span(number, span_began, time.time()))
            words.append(f"{number} {fault.what}")
            seen |= set(fault.alerts)
            await asyncio.sleep(QUIET_SECONDS / 4)
        await asyncio.sleep(QUIET_SECONDS)
        picture.parent.mkdir(parents=True, exist_ok=True)
        told = "Seconds since the start of the load; grey, by number: " + "; ".join(words)
        empty = draw(prometheus, began, time.time(), spans, _wrapped(told), picture)
    print(f"\n{picture}: panels without a line: {', '.join(empty) or 'none'}")
    missing = set(alerts()) - seen
    print(f"alerts that were not tried: {', '.join(sorted(missing)) or 'none'}")
    return is_well and (bool(only) or not missing)


def _wrapped(text: str, width: int = 190) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f"{word} "
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 if an alert did not fire, did not end, or fired without a fault."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.monitoring",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="faults with this in their name")
    parser.add_argument("--factor", type=float, default=60.0, help="durations are divided by it")
    parser.add_argument("--picture", type=Path, default=Path("build/dashboard.png"))
    options = parser.parse_args(arguments)
    if not find("prometheus"):
        parser.exit(2, f"{MISSING}\n")
    # Whoever ends this ends what it has started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        return int(
            not asyncio.run(show(Path(folder), options.only, options.factor, options.picture))
        )


if __name__ == "__main__":
    sys.exit(main())
