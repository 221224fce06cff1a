"""Containers of runc, the runtime beneath Kubernetes, under the rules that the chart asks for.

A read-only root, no capability, no new privileges, a network that leads nowhere.
"""

import json
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.images.storage import Built

PATIENCE_SECONDS = 180.0
NOBODY_ANSWERS = "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n"


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine within a container."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Program:
    """What is started of an image, as a container of a pod says it."""

    image: Built
    root: Path
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] | None = None
    mounts: Sequence[Mount] = ()
    user: str = ""  # instead of the image's
    entry: Sequence[str] | None = None  # instead of the image's


class Container:
    """One that runs; its first process is the program itself."""

    def __init__(self, state: Path, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self._state, self.name, self.process, self.log = state, name, process, log

    @property
    def network(self) -> Path:
        """Its network, for another container to join."""
        told = json.loads(_runc(self._state, "state", self.name).stdout)
        return Path(f"/proc/{told['pid']}/ns/net")

    def execute(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """What a command in the container says, as a probe would ask."""
        given = [f"--env={name}={value}" for name, value in environment.items()]
        return _runc(self._state, "exec", *given, self.name, *command)

    def python(self, program: str, **environment: str) -> Any:
        """JSON that a Python program prints in the container."""
        done = self.execute("python3", "-c", program, **environment)
        assert done.returncode == 0, done.stderr + self.log.read_text()[-2000:]
        return json.loads(done.stdout)

    def wait_for(self, *command: str) -> float:
        """Seconds until a command in the container succeeds."""
        began = time.monotonic()
        while self.execute(*command).returncode:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() - began < PATIENCE_SECONDS, self.log.read_text()[-4000:]
            time.sleep(0.05)
        return time.monotonic() - began

    def signal(self, name: str) -> None:
        _runc(self._state, "kill", self.name, name)

    def ended(self) -> tuple[int, float]:
        """Its exit code, and the seconds that it was waited for."""
        began = time.monotonic()
        return self.process.wait(PATIENCE_SECONDS), time.monotonic() - began


@contextmanager
def running(
    folder: Path, name: str, program: Program, network: Path | None = None
) -> Iterator[Container]:
    """A container, which is gone with all that it started when the block ends.

    network  that of another container; else one of its own, with loopback alone
    """
    name = f"{name}-{os.getpid()}"
    state, log = folder / "state", folder / f"{name}.log"
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=folder) as place:
        bundle = Path(place)
        subprocess.run(["runc", "spec", "--bundle", bundle], check=True)  # noqa: S607
        file = bundle / "config.json"
        (bundle / "resolv.conf").write_text(NOBODY_ANSWERS)
        resolver = Mount(bundle / "resolv.conf", "/etc/resolv.conf")
        specification = _restricted(json.loads(file.read_text()), program, resolver, network)
        file.write_text(json.dumps(specification))
        with log.open("wb") as stream:
            command = ["runc", "--root", str(state), "run", "--bundle", place, name]
            process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            yield Container(state, name, process, log)
        finally:
            _runc(state, "delete", "--force", name)
            process.wait()


def run(folder: Path, name: str, program: Program) -> str:
    """What a container prints that does its work and ends."""
    with running(folder, name, program) as container:
        code = container.process.wait(PATIENCE_SECONDS * 5)
        said = container.log.read_text()
        assert code == 0, said[-4000:]
        return said


def _restricted(
    default: dict[str, Any], program: Program, resolver: Mount, network: Path | None
) -> dict[str, Any]:
    """runc's own default, changed to what a restricted pod gets."""
    config = program.image.config
    user, _, group = (program.user or config["User"]).partition(":")
    given = [f"{name}={value}" for name, value in (program.environment or {}).items()]
    entry = config["Entrypoint"] if program.entry is None else program.entry
    process = default["process"] | {
        "terminal": False,
        "user": {"uid": int(user), "gid": int(group or 0)},
        "args": [*entry, *program.arguments],
        "env": [*config["Env"], *given],
        "capabilities": {},
        "noNewPrivileges": True,
    }
    del process["rlimits"]
    left_out = {"/dev/mqueue", "/sys/fs/cgroup"}
    mounts = [one for one in default["mounts"] if one["destination"] not in left_out]
    own = {mount.target for mount in program.mounts}
    mounts = [one for one in mounts if one["destination"] not in own]
    if "/tmp" not in own:  # noqa: S108
        options = ["nosuid", "nodev", "mode=1777"]
        mounts.append(
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options}  # noqa: S108
        )
    mounts += [_bound(mount) for mount in (resolver, *program.mounts)]
    namespaces = [one for one in default["linux"]["namespaces"] if one["type"] != "network"]
    namespaces.append({"type": "network"} | ({"path": str(network)} if network else {}))
    return default | {
        "process": process,
        "root": {"path": str(program.root), "readonly": True},
        "hostname": "pod",
        "mounts": mounts,
        "linux": default["linux"] | {"namespaces": namespaces},
    }


def _bound(mount: Mount) -> dict[str, Any]:
    options = ["rbind", "ro" if mount.read_only else "rw"]
    source = str(mount.source.resolve())
    return {"destination": mount.target, "type": "bind", "source": source, "options": options}


def _runc(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["runc", "--root", str(state), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and arguments[0] in ("state", "kill"):
        raise AssertionError(f"{shlex.join(command)}: {done.stderr}")
    return done
