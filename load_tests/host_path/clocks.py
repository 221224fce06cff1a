"""CPU time of the processes of one service, by what they do; nanoseconds, as the kernel counts."""

import ctypes
import re
import time
from collections import Counter

import psutil

ROLES = ("gateway", "tritonserver", "tokenizer", "encoder", "quantize")
_STEP = re.compile(r"@[0-9a-f]{12}-(tokenizer|encoder|quantize)/")
_LIBC = ctypes.CDLL(None, use_errno=True)


def role_of(command: str, is_root: bool) -> str:
    """What a process of `python -m gateway.local` does, by its command line."""
    if step := _STEP.search(command):
        return step[1]
    if is_root:
        return "gateway"
    return "tritonserver" if "tritonserver" in command.split(" ", 1)[0] else "other"


def roles(root: psutil.Process) -> dict[int, str]:
    """Process id → role, of the whole tree."""
    members = [root, *root.children(recursive=True)]
    return {member.pid: role_of(" ".join(member.cmdline()), member == root) for member in members}


def cpu_nanoseconds(pid: int) -> int:
    """User and system time of all threads that a process has or had.

    Raises: ProcessLookupError.
    """
    clock = ctypes.c_int()
    if _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(f"process {pid} has ended")
    return time.clock_gettime_ns(clock.value)


def read(processes: dict[int, str]) -> Counter[str]:
    """Role → CPU nanoseconds so far."""
    total = Counter[str]()
    for pid, role in processes.items():
        total[role] += cpu_nanoseconds(pid)
    return total
