"""strace: whom a process and its children reach out to."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: apt install strace"
)
# Every connection and every datagram; the command keeps its process id. A file follows.
STRACE = ["strace", "-D", "-f", "-qq", "-e", "trace=connect,sendto", "-o"]


def strangers(trace: Path) -> Iterator[str]:
    """Calls that reach out to another machine, names that are looked up included."""
    for line in trace.read_text(errors="replace").splitlines():
        if "sa_family=AF_INET" in line and not re.search(
            r'inet_addr\("127\.|"::1"|"::ffff:127\.', line
        ):
            yield line


def innocent_environment(home: Path) -> dict[str, str]:
    """Of a person who has heard of no telemetry, and runs no CI job: there it is off by itself."""
    return {"HOME": str(home), "PATH": os.environ["PATH"]}
