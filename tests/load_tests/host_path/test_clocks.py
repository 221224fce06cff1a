"""CPU time of processes, and what they are."""

import subprocess
import sys
import time

import pytest

from load_tests.host_path.clocks import cpu_nanoseconds, role_of

COPY = "/x/copy/org--model@0123456789ab"


@pytest.mark.parametrize(
    ("command", "is_root", "role"),
    [
        ("python -m gateway.local --repository /x/copy", True, "gateway"),
        ("/x/tritonserver/bin/tritonserver --model-repository=/x/copy", False, "tritonserver"),
        (f"/x/triton_python_backend_stub {COPY}-tokenizer/1/model.py pre", False, "tokenizer"),
        (f"/x/triton_python_backend_stub {COPY}-quantize/1/model.py pre", False, "quantize"),
        ("sh -c true", False, "other"),
    ],
)
def test_a_process_is_known_by_its_command(command: str, is_root: bool, role: str) -> None:
    assert role_of(command, is_root) == role


def test_it_is_the_time_of_another_process_that_counts() -> None:
    program = "print(sum(range(3_000_000)), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        other.stdout.readline()
        taken = cpu_nanoseconds(other.pid)
        assert cpu_nanoseconds(other.pid) - taken < taken  # it waits now
        assert taken > 1_000_000
        other.communicate(b"\n")
    with pytest.raises(ProcessLookupError, match="has ended"):
        cpu_nanoseconds(other.pid)


def test_it_counts_as_the_process_itself_does() -> None:
    import os

    before = time.process_time_ns()
    assert before <= cpu_nanoseconds(os.getpid()) <= time.process_time_ns()
