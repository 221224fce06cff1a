"""The pip-installed Triton as a child process: launch, readiness, health, end."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.local.triton_environment import environment
from gateway.local.triton_wheel import CannotServe, find_triton, link_backends

LOOPBACK = "127.0.0.1"
READY_TIMEOUT_SECONDS = 600.0  # a large checkpoint from a cold disk
EXIT_TIMEOUT_SECONDS = 10  # in-flight requests may finish; more only delays Ctrl-C
SHARED_MEMORY_BYTES = 32 * 2**20  # of each instance: 256 texts and their answers without growing
STUB_TIMEOUT_SECONDS = 600  # Triton's 30 s are too short to load a large encoder

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the Python backend puts its segments
_LAST_LINES = 15

# Becomes tritonserver, after asking the kernel for SIGTERM at the death of its parent, however that
# dies. Not a preexec_fn: those may deadlock in a process with threads.
_TIE_TO_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""

# Triton writes one log line a failure: "failed to load 'a' version 1: Internal: why\n\nAt: …"
_LOAD_FAILURE = re.compile(
    r"(?:failed to load '(?P<model>[^']+)' version \d+: (?:Internal: )?"
    r"|Poll failed for model directory '(?P<folder>[^']+)': )"
    r'(?P<reason>.*?)(?:\\n|"?$)',
    re.MULTILINE,
)


def free_ports(count: int) -> list[int]:
    """Distinct ports nobody listens on at the loopback address."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def count_instances(repository: Path) -> int:
    """Processes of the steps of a repository, as their configurations say; one on each GPU listed.

    Where none is listed Triton takes all, and only it knows how many there are.
    """
    configs = [step.parents[1] / "config.pbtxt" for step in repository.glob("*/*/model.py")]
    total = 0
    for config in configs:
        text = config.read_text(encoding="utf-8") if config.is_file() else ""
        counts = map(int, re.findall(r"\bcount: (\d+)", text))  # of instance groups, nothing else
        total += max(sum(counts), 1) * max(len(re.findall(r"\bgpus: \d", text)), 1)
    return total


def share_memory(free_bytes: int, instances: int) -> int:
    """Bytes of shared memory that each instance of a step takes at start, in whole MiB.

    A container often has 64 MiB for all: a quarter is shared out, the rest is for growth. Below
    1 MiB Triton refuses.
    """
    share = free_bytes // 4 // max(instances, 1) // 2**20 * 2**20
    return max(2**20, min(SHARED_MEMORY_BYTES, share))


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Ctrl-C and its like take effect behind the block.

    Raised while a process is started, they would leave one that nobody knows.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # they are raised in the main thread only
        return
    noted: list[int] = []
    before = {
        sent: signal.signal(sent, lambda number, frame: noted.append(number))
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(sent) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for sent, handler in before.items():
            signal.signal(sent, handler)
    for number in noted:
        signal.raise_signal(number)


class TritonProcess:
    """One `tritonserver` on loopback ports of its own, which it keeps over restarts.

    repository  model repository to serve, all of it
    log_file    what Triton writes: emptied here, restarts appended
    name        of this instance: shared memory left by a killed one of the same name is removed

    A context manager: leaving it ends the server and removes what it left.

    Raises: CannotServe if Triton is not installed or cannot run here.
    """

    def __init__(self, repository: Path, log_file: Path, name: str) -> None:
        self.log_file = log_file
        self.grpc_port, self.http_port, self.metrics_port = free_ports(3)
        self._repository = repository
        self._shared_memory_prefix = f"triton-embeddings-{name}-"
        self._triton = find_triton()
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.write_bytes(b"")
        self._backends: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._steps: frozenset[int] = frozenset()
        self._log_start = 0
        self.ready_at = 0.0  # of the last start, on the monotonic clock

    @property
    def pid(self) -> int | None:
        """Process id of the server, None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def step_pids(self) -> frozenset[int]:
        """Process ids of the Python steps, one for each instance of each."""
        return self._steps

    def start(self, stopping: threading.Event | None = None) -> None:
        """Launch the server and wait until every model is ready, or until `stopping` is set.

        Raises: CannotServe with the reason of the model that does not load, else the log's end.
        """
        self.stop()
        with interrupts_wait():
            self._process = process = self._launch()
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        wait = (stopping or threading.Event()).wait
        while not self._answers_ready():
            if process.poll() is not None:
                raise CannotServe(self._why_it_ended())
            if time.monotonic() > deadline:
                raise CannotServe(f"Triton is not ready after {READY_TIMEOUT_SECONDS:.0f} s.")
            if wait(0.1):
                return
        self._steps = running_children(process.pid)
        self.ready_at = time.monotonic()

    def is_whole(self) -> bool:
        """Whether the server and the process of every step still run.

        Triton 2.51 says ready even when a step's process has died, so that is looked up here.

        Raises: OSError if the system does not tell, as when no file can be opened.
        """
        process = self._process
        if process is None or process.poll() is not None:
            return False
        return all(parent_of(step) == process.pid for step in self._steps)

    def stop(self) -> None:
        """End the server, safe to call at any time.

        By force if it is broken: a polite end would wait for steps that are dead.
        """
        if self._process is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                if self.is_whole():
                    self._process.terminate()
                    self._process.wait(EXIT_TIMEOUT_SECONDS + 5)
            with contextlib.suppress(ProcessLookupError):  # nobody is left
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._backends is not None:
            self._backends.cleanup()
            self._backends = None
        for segment in _SHARED_MEMORY.glob(f"{self._shared_memory_prefix}*"):
            segment.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(self) -> subprocess.Popen[bytes]:
        # Made anew at each start: temporary files and logs are tidied away while servers run.
        self._backends = tempfile.TemporaryDirectory(
            prefix="triton-embeddings-", ignore_cleanup_errors=True
        )
        backends = Path(self._backends.name)
        link_backends(self._triton, backends)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            # A session of its own: Ctrl-C in the terminal reaches the gateway alone, which ends
            # this server after the last request.
            tied = [sys.executable, "-ISc", _TIE_TO_PARENT, str(os.getpid())]
            return subprocess.Popen(  # noqa: S603 - our own command line
                [*tied, *self._command(backends)],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _command(self, backends: Path) -> list[str]:
        instances = count_instances(self._repository)
        memory_bytes = share_memory(shutil.disk_usage(_SHARED_MEMORY).free, instances)
        return [
            str(self._triton / "bin/tritonserver"),
            f"--model-repository={self._repository}",
            f"--backend-directory={backends}",
            f"--cache-directory={self._triton / 'caches'}",
            f"--grpc-address={LOOPBACK}",
            f"--http-address={LOOPBACK}",  # of the metrics too
            f"--grpc-port={self.grpc_port}",
            f"--http-port={self.http_port}",
            f"--metrics-port={self.metrics_port}",
            "--allow-gpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={EXIT_TIMEOUT_SECONDS}",
            f"--backend-config=python,shm-default-byte-size={memory_bytes}",
            f"--backend-config=python,shm-region-prefix-name={self._shared_memory_prefix}",
            f"--backend-config=python,stub-timeout-seconds={STUB_TIMEOUT_SECONDS}",
        ]

    def _answers_ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.http_port, timeout=5)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/v2/health/ready")
                return connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False

    def _why_it_ended(self) -> str:
        try:
            with self.log_file.open("rb") as file:
                file.seek(self._log_start)
                log = file.read().decode(errors="replace")
        except OSError as error:
            return f"Triton ended before it was ready, and its log is gone: {error}"
        failure = _LOAD_FAILURE.search(log)
        if failure is not None:
            model, reason = failure["model"] or failure["folder"], failure["reason"]
            if "no GPUs are available" in reason:
                visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
                reason += (
                    f": nvidia-smi -L says which there are, CUDA_VISIBLE_DEVICES ({visible}) which "
                    "of them are seen"
                )
            return f"Triton cannot load {model}: {reason} (log: {self.log_file})"
        last = "\n".join(log.splitlines()[-_LAST_LINES:])
        return f"Triton ended before it was ready; the end of {self.log_file}:\n{last}"


def running_children(pid: int) -> frozenset[int]:
    """Process ids, those left out that have ended and wait for their parent to notice."""
    processes = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return frozenset(process for process in processes if parent_of(process) == pid)


def parent_of(pid: int) -> int | None:
    """Parent of a running process, None if it has ended.

    Raises: OSError if the system does not tell.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]  # "pid (any name) state parent …"
    return None if state == "Z" else int(parent)
