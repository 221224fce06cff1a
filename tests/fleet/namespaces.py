"""Networks, file systems and processes of pods, as a container runtime makes them.

All of it lies in namespaces of its own: no port, mount or process is seen by the machine, and when
the first process ends the kernel ends the others. Root is not needed where users may make
namespaces.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.local.triton_process import running_children

ROOT = Path(__file__).parents[2]
GATEWAY_OF_PODS = "10.42.0.1"  # the machine, as pods see it
MARK = "TRITON_EMBEDDINGS_FLEET"
ENTER = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork")
TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "haproxy": "haproxy"}

# Of the machine's file system, what pods see, read-only: programs and libraries, and no more.
_PROGRAMS = ("bin", "lib", "lib64", "sbin", "usr", "sys")
_ACCOUNTS = ("passwd", "group", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives")
_DEVICES = ("null", "zero", "full", "random", "urandom")


class CannotRun(Exception):
    """What this machine lacks, in one sentence."""


def enter(arguments: Sequence[str]) -> None:
    """Become `python -m tests.fleet` in namespaces of its own, unless it is so already.

    Raises: CannotRun.
    """
    if os.environ.get(MARK):
        return
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise CannotRun(f"{tool} is missing: `apt-get install {package}` brings it")
    tried = subprocess.run([*ENTER, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise CannotRun(f"this machine lets nobody make namespaces: {tried.stderr.strip()}")
    own = [sys.executable, "-m", "tests.fleet", *arguments]
    command = [*ENTER, "--kill-child", "--mount-proc", *own]
    os.execvpe(command[0], command, os.environ | {MARK: "1", "TQDM_DISABLE": "1"})  # noqa: S606


def make_network() -> None:
    """A bridge for all pods, with the machine on it."""
    for words in (
        "link set lo up",
        "link add cni0 type bridge",
        f"address add {GATEWAY_OF_PODS}/24 dev cni0",
        "link set cni0 up",
    ):
        subprocess.run(["ip", *words.split()], check=True)  # noqa: S607


@dataclass(frozen=True)
class Mount:
    """Where a container finds a folder of the machine, or an empty one of so many bytes."""

    path: str
    folder: Path | None = None
    size: str = "64Mi"

    def lines(self, root: Path) -> list[str]:
        """Shell lines that mount it below a root."""
        place = f"{root}{self.path}"
        if self.folder is None:
            size = self.size.removesuffix("i").lower()  # tmpfs counts in powers of two
            made = f"mount -t tmpfs -o size={size} tmpfs {place}"
        else:
            made = f"mount --bind {self.folder} {place} && mount -o remount,bind,ro {place}"
        return [f"mkdir -p {place}", made]


@dataclass
class Sandbox:
    """The network and the file system of a pod, which outlive its containers.

    folder  for its root; the pod's alone
    """

    name: str
    address: str
    folder: Path
    name_server_search: str
    _pause: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def root(self) -> Path:
        return self.folder / "root"

    async def make(self, mounts: Sequence[Mount], is_read_only: bool) -> None:
        self.root.mkdir(parents=True)
        (self.folder / "resolv.conf").write_text(
            f"nameserver {GATEWAY_OF_PODS}\nsearch {self.name_server_search}\noptions ndots:5\n"
        )
        (self.folder / "nsswitch.conf").write_text("hosts: files dns\n")
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{self.address} {self.name}\n")
        words = ("unshare", "--net", "--mount", "--propagation", "private", "sleep", "infinity")
        self._pause = await asyncio.create_subprocess_exec(*words)
        own, inside = (Path(f"/proc/{pid}/ns/net") for pid in ("self", self._pause.pid))
        while inside.readlink() == own.readlink():
            await asyncio.sleep(0.01)
        link = f"pod{self.address.rsplit('.', 1)[1]}"
        peer = f"type veth peer name eth0 netns {self._pause.pid}"
        await _run("ip", "link", "add", link, *peer.split())
        await _run("ip", "link", "set", link, "master", "cni0", "up")
        lines = [*self._network_lines(), *self._root_lines(mounts)]
        if is_read_only:
            lines.append(f"mount -o remount,ro {self.root}")
        await _run(*self._inside, "sh", "-ec", "\n".join(lines))

    async def remove(self) -> None:
        """With all processes of the pod."""
        assert self._pause is not None
        with suppress(ProcessLookupError):  # everything ends
            self._pause.kill()
        await self._pause.wait()

    async def start(
        self, command: Sequence[str], environ: Mapping[str, str], log: Path
    ) -> "Container":
        """The command as process 1 of a container."""
        variables = [f"{name}={value}" for name, value in environ.items()]
        words = [*self._inside, "unshare", "--pid", "--fork", "--kill-child"]
        words += [f"--root={self.root}", f"--wd={ROOT}"]
        words += ["sh", "-c", 'mount -t proc proc /proc && exec "$@"', "sh"]
        with log.open("ab") as stream:
            process = await asyncio.create_subprocess_exec(
                *words, "env", "-i", *variables, *command,
                stdout=stream, stderr=stream, start_new_session=True,
            )  # fmt: skip
        return Container(process, dict(environ))

    @property
    def _inside(self) -> list[str]:
        assert self._pause is not None
        return ["nsenter", f"--target={self._pause.pid}", "--net", "--mount"]

    def _network_lines(self) -> list[str]:
        return [
            "ip link set lo up",
            f"ip address add {self.address}/24 dev eth0",
            "ip link set eth0 up",
        ]

    def _root_lines(self, mounts: Sequence[Mount]) -> list[str]:
        root = self.root
        lines = [f"mount -t tmpfs -o size=16m tmpfs {root}", f"mkdir -p {root}/etc {root}/proc"]
        for name in _PROGRAMS:
            path = Path("/", name)
            if path.is_symlink():
                lines.append(f"cp -P {path} {root}{path}")
            elif path.exists():
                lines += [f"mkdir {root}{path}", f"mount --rbind {path} {root}{path}"]
        lines += [
            f"cp -rP /etc/{name} {root}/etc" for name in _ACCOUNTS if Path("/etc", name).exists()
        ]
        lines += [
            f"cp {self.folder / name} {root}/etc"
            for name in ("resolv.conf", "nsswitch.conf", "hosts")
        ]
        lines.append(f"mkdir -p {root}/dev")
        for name in _DEVICES:
            lines += [f"touch {root}/dev/{name}", f"mount --bind /dev/{name} {root}/dev/{name}"]
        for mount in sorted([*mounts, *_own_programs()], key=lambda mount: mount.path):
            lines += mount.lines(root)
        return lines


def _own_programs() -> list[Mount]:
    """This checkout and its Python, where they lie."""
    folders = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
    seen = [Path("/", name) for name in _PROGRAMS]
    return [
        Mount(str(folder), folder)
        for folder in sorted(folders)
        if not any(folder.is_relative_to(other) for other in [*seen, *(folders - {folder})])
    ]


@dataclass
class Container:
    """A running container."""

    process: asyncio.subprocess.Process
    environ: dict[str, str]

    @property
    def pid(self) -> int | None:
        """Process 1 of the container as the machine sees it; None before and after."""
        return min(running_children(self.process.pid), default=None)

    @property
    def pids(self) -> list[int]:
        """All of its processes, its first one first."""
        found = [self.pid] if self.pid else []
        for pid in found:
            found += sorted(running_children(pid))
        return found

    def send(self, sent: int) -> None:
        """A signal to process 1, if it is still there."""
        if pid := self.pid:
            os.kill(pid, sent)

    async def wait(self) -> int:
        return await self.process.wait()

    async def run(self, command: Sequence[str], seconds: float) -> int:
        """Exit code of a command in the container, 124 if it takes too long."""
        pid = self.pid
        if pid is None:
            return 1
        variables = [f"{name}={value}" for name, value in self.environ.items()]
        words = ["nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--root", "--wd=/"]
        process = await asyncio.create_subprocess_exec(
            *words,
            "env",
            "-i",
            *variables,
            *command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(seconds):
                return await process.wait()
        except TimeoutError:
            for child in running_children(process.pid):
                os.kill(child, signal.SIGKILL)
            await process.wait()
            return 124


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    if await process.wait():
        raise RuntimeError(f"failed: {' '.join(words)}")
