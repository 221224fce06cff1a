"""A server as a process tree: its CPU seconds, its memory, its end."""

import contextlib
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.5
PATIENCE_SECONDS = 30.0
MEBIBYTE = 2**20


@contextlib.contextmanager
def running(
    command: Sequence[str], environ: Mapping[str, str], log_file: Path, folder: Path
) -> Iterator[psutil.Process]:
    """A process that writes to a log file; it ends with the block, and its children with it."""
    with log_file.open("wb") as log:
        started = subprocess.Popen(  # noqa: S603 - our own commands
            command, env=dict(environ), stdout=log, stderr=subprocess.STDOUT, cwd=folder
        )
    process = psutil.Process(started.pid)
    try:
        yield process
    finally:
        _end(started, process)


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and all its descendants, as far as they live."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of the tree."""
    total = 0.0
    for member in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            total += times.user + times.system
    return total


def machine_cpu_seconds() -> float:
    """What all cores worked since the start of the machine, and what its host took from them."""
    times = psutil.cpu_times()
    waited = times.idle + getattr(times, "iowait", 0.0)
    doubled = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in user as well
    return float(sum(times) - waited - doubled)


def memory_mib(process: psutil.Process) -> float:
    """Resident memory of the tree; pages that its processes share count for each of them."""
    total = 0
    for member in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += member.memory_info().rss
    return total / MEBIBYTE


@dataclass(slots=True)
class Peak:
    """The highest memory seen so far."""

    mib: float = 0.0


@contextlib.contextmanager
def peak_memory(process: psutil.Process) -> Iterator[Peak]:
    """Watch the memory of the tree while the block runs."""
    peak = Peak(memory_mib(process))
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(SAMPLE_SECONDS):
            peak.mib = max(peak.mib, memory_mib(process))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stopping.set()
        thread.join()


def _end(started: subprocess.Popen[bytes], process: psutil.Process) -> None:
    """Ask it to end, then insist; children that it leaves behind are killed."""
    members = tree(process)
    started.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(PATIENCE_SECONDS)
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    started.wait()
