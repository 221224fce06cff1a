"""What `python -m gateway.local` decides without a Triton."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.local.__main__ import listen
from gateway.local.supervisor import (
    CHECK_SECONDS,
    check_repository,
    in_background,
    keep_running,
)
from gateway.local.triton_process import (
    count_instances,
    free_ports,
    interrupts_wait,
    parent_of,
    share_memory,
)
from gateway.local.triton_wheel import CannotServe, find_triton


@pytest.mark.parametrize("exists", [True, False], ids=["empty", "missing"])
def test_a_folder_without_models_is_refused_with_the_way_out(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path if exists else tmp_path / "nowhere"
    with pytest.raises(CannotServe, match="python -m export --output"):
        check_repository(folder)


def test_a_port_in_use_is_refused_with_the_way_out() -> None:
    (taken,) = listen("127.0.0.1", 0)
    with taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=rf"127\.0\.0\.1:{port}.*--port"):
            listen("127.0.0.1", port)


def test_a_missing_wheel_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytriton", None)  # how Python spells "not installed"
    with pytest.raises(CannotServe, match=r"pip install.*local.*Linux x86-64"):
        find_triton()


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


GROUP = "instance_group {{\n  count: {count}\n  kind: KIND_GPU\n{gpus}}}\n"


@pytest.mark.parametrize(
    ("configs", "expected"),
    [
        ([], 0),
        ([None, ""], 2),
        ([GROUP.format(count=4, gpus=""), GROUP.format(count=2, gpus="")], 6),
        ([GROUP.format(count=2, gpus="  gpus: 0\n  gpus: 12\n")], 4),
        (["instance_group [ { kind: KIND_CPU count: 1 } ]"], 1),
    ],
    ids=["none", "unsaid", "on all GPUs", "on two GPUs", "by hand"],
)
def test_each_instance_of_a_step_is_counted(
    configs: list[str | None], expected: int, tmp_path: Path
) -> None:
    for number, config in enumerate(configs):
        version = tmp_path / f"step-{number}" / "1"
        version.mkdir(parents=True)
        (version / "model.py").touch()
        if config is not None:
            (version.parent / "config.pbtxt").write_text(config)
    assert expected == count_instances(tmp_path)


@pytest.mark.parametrize(
    ("free_mib", "instances", "share_mib"),
    [(64, 3, 5), (16_000, 3, 32), (16, 30, 1), (16_000, 0, 32)],
    ids=["a container", "a laptop", "too little", "no step"],
)
def test_the_steps_share_what_memory_there_is(
    free_mib: int, instances: int, share_mib: int
) -> None:
    assert share_memory(free_mib * 2**20, instances) == share_mib * 2**20


class Stopping(threading.Event):
    """Lets every wait pass at once, and notes how long it was to be."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return self.is_set()


class Scripted:
    """A Triton of which a test tells how looks and starts go, in turns; then all is to stop."""

    def __init__(self, *course: bool | Exception) -> None:
        self.course = list(course)
        self.stopping = Stopping()
        self.starts = 0

    def _next(self) -> bool:
        if not self.course:
            self.stopping.set()
            return True
        step = self.course.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def is_whole(self) -> bool:
        return self._next()

    def start(self, stopping: threading.Event | None = None) -> None:
        assert stopping is self.stopping
        self.starts += 1
        self._next()


def test_a_triton_that_lives_is_left_alone() -> None:
    triton = Scripted(True, True)
    keep_running(triton, triton.stopping)
    assert triton.starts == 0
    assert triton.stopping.pauses == [CHECK_SECONDS] * 4


def test_a_silent_triton_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    triton, silences = Scripted(True, True, True, True), [False, True, False]
    keep_running(triton, triton.stopping, is_silent=lambda: bool(silences and silences.pop(0)))
    assert triton.starts == 1
    assert ["Triton does not answer: starting it again"] == [r.message for r in caplog.records]


def test_a_dead_triton_is_started_until_it_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failure = CannotServe("No memory.")
    triton = Scripted(False, failure, False, failure, False, True, True, False, failure)
    keep_running(triton, triton.stopping)
    assert triton.starts == 4
    assert triton.stopping.pauses == [0.5, 1.0, 2.0, 0.5, 0.5, 1.0, 0.5]
    lines = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert lines[:2] == ["No memory. Next attempt in 1 s.", "No memory. Next attempt in 2 s."]


def test_the_pauses_have_a_longest() -> None:
    triton = Scripted(*(False, CannotServe("no")) * 10)
    keep_running(triton, triton.stopping)
    assert triton.stopping.pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 0.5]


@pytest.mark.parametrize(
    ("failure", "line", "has_trace"),
    [
        (FileNotFoundError(2, "No such file or directory", "log"), "No such file", False),
        (BlockingIOError(11, "Resource temporarily unavailable"), "Resource temporarily", False),
        (OSError(28, "No space left on device"), "No space left on device.", False),
        (MemoryError(), "MemoryError. Next", True),
        (RuntimeError("can't start new thread"), "can't start new thread. Next", True),
        (ValueError("a bug"), "a bug. Next", True),
    ],
    ids=["no-log", "no-process", "no-disk", "no-memory", "no-thread", "a-bug"],
)
@pytest.mark.parametrize("looks", [True, False], ids=["while-looking", "while-starting"])
def test_whatever_the_system_refuses_is_said_and_tried_again(
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
    line: str,
    has_trace: bool,
    looks: bool,
) -> None:
    triton = Scripted(*[failure] if looks else [False, failure], False, True)
    keep_running(triton, triton.stopping)
    assert triton.stopping.pauses[1] == 1.0
    assert triton.starts == (1 if looks else 2)
    (said,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line in said.message
    assert bool(said.exc_info) is has_trace


def test_work_in_the_background_ends_with_the_body() -> None:
    ended = threading.Event()

    def work(stopping: threading.Event) -> None:
        stopping.wait()
        ended.set()

    with in_background("work", work):
        assert not ended.is_set()
    assert ended.is_set()


def fail(stopping: threading.Event) -> None:
    raise MemoryError


@pytest.mark.parametrize("is_interrupted", [True, False], ids=["at-once", "gracefully"])
def test_failed_work_ends_the_body(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_interrupted: bool
) -> None:
    told = threading.Event()
    before = signal.signal(
        signal.SIGTERM,
        signal.default_int_handler if is_interrupted else lambda *_: told.set(),
    )
    try:
        with (
            pytest.raises(CannotServe, match=r"^the work failed: MemoryError\.$") as failed,
            in_background("the work", fail),
        ):
            assert told.wait(10)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert isinstance(failed.value.__cause__, MemoryError)
    assert "the work failed: ending" in caplog.text


def test_an_interrupt_is_no_failure_of_the_work() -> None:
    with pytest.raises(KeyboardInterrupt), in_background("work", lambda stopping: None):
        raise KeyboardInterrupt


def test_work_that_fails_when_it_is_told_to_stop_signals_nobody() -> None:
    def work(stopping: threading.Event) -> None:
        stopping.wait()
        raise MemoryError

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(CannotServe, match="MemoryError"), in_background("work", work):
            pass
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_a_thread_there_is_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)  # no machine of a test runs out of them
    with (
        pytest.raises(CannotServe, match=r"^work cannot begin: can't start new thread\.$"),
        in_background("work", fail),
    ):
        pass


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_waits_until_a_process_is_started(sent: signal.Signals) -> None:
    before = signal.signal(sent, signal.default_int_handler)
    started: list[str] = []

    def start() -> None:
        with interrupts_wait():
            signal.raise_signal(sent)
            started.append("a process")

    try:
        with pytest.raises(KeyboardInterrupt):
            start()
        assert signal.getsignal(sent) is signal.default_int_handler
    finally:
        signal.signal(sent, before)
    assert started


def test_without_an_interrupt_nothing_waits() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_wait():
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_an_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts_wait():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_beside_the_main_thread_no_signal_is_touched() -> None:
    def work(stopping: threading.Event) -> None:
        with interrupts_wait():
            assert signal.getsignal(signal.SIGINT) is before

    before = signal.getsignal(signal.SIGINT)
    with in_background("work", work):
        pass


def test_the_parent_of_a_process_is_known_until_it_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert parent_of(process.pid) == os.getpid()
        process.communicate()
    assert parent_of(process.pid) is None


def test_who_cannot_look_does_not_say_that_a_process_has_ended() -> None:
    """A gateway with all its files open must not start a Triton again that is well."""
    program = (
        "import os, resource\n"
        "from gateway.local.triton_process import parent_of\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try: print(parent_of(os.getpid()))\n"
        "except OSError as error: print(error.strerror)\n"
    )
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert said == "Too many open files\n"


def test_what_cannot_be_served_ends_in_one_sentence(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.local", "--repository", tmp_path / "nowhere"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Cannot serve: ")
    assert ended.stderr.count("\n") == 1
