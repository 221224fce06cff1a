"""What lies in the file system of an image, and what must not."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

COMPILER = re.compile(
    r"([a-z0-9_]+-linux-gnu-)?(cc|c\+\+|gcc|g\+\+|cpp|clang(\+\+)?|ld|as)(-[\d.]+)?"
)
INSTALLER = re.compile(r"pip(\d[\d.]*)?|pip-.*\.whl|ensurepip")
# Hosts that collect what programs tell about those who run them.
COLLECTOR = re.compile(
    rb"[a-z0-9.-]*(?:telemetry|analytics|events\.data|vortex|sentry|segment|amplitude|mixpanel"
    rb"|posthog|datadoghq|scarf)[a-z0-9.-]*\.(?:com|io|net|org|sh)\b"
)


def files(root: Path) -> Iterator[Path]:
    """Everything but folders; links are not followed."""
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names)


def unpacked_bytes(root: Path) -> int:
    """Bytes of all files; one with several names counts once."""
    told = {(one.st_dev, one.st_ino): one.st_size for one in map(os.lstat, files(root))}
    return sum(told.values())


def forbidden(root: Path) -> list[str]:
    """Installers, compilers, and files that make another user of who runs them."""
    found = []
    for path in files(root):
        mode = path.lstat().st_mode
        in_bin = path.parent.name in ("bin", "sbin")
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            found.append(f"setuid: {path.relative_to(root)}")
        elif in_bin and COMPILER.fullmatch(path.name):
            found.append(f"compiler: {path.relative_to(root)}")
        elif any(INSTALLER.fullmatch(part) for part in (path.name, path.parent.name)):
            found.append(f"installer: {path.relative_to(root)}")
    return found


def unreadable(root: Path) -> list[str]:
    """What a user of group 0 cannot read, or a folder that they cannot enter."""
    found = []
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder, name)
            told = path.lstat()
            needed = 0o5 if stat.S_ISDIR(told.st_mode) else 0o4
            seen = told.st_mode | (told.st_mode >> 3 if told.st_gid == 0 else 0)
            if not stat.S_ISLNK(told.st_mode) and seen & needed != needed:
                found.append(str(path.relative_to(root)))
    return found


def collectors(root: Path, loaded: list[str]) -> dict[str, set[str]]:
    """Hosts of collectors by the loaded files that name them."""
    named = {
        path: {host.decode() for host in COLLECTOR.findall((root / path.lstrip("/")).read_bytes())}
        for path in loaded
    }
    return {path: hosts for path, hosts in named.items() if hosts}
