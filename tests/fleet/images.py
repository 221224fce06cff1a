"""Images, which this machine cannot run: what their entry points do is done with this checkout.

Everything that a run changes of what the chart renders stands in `TRANSLATIONS`.
"""

import os
import re
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.probes import Manifest

TRANSLATIONS = (
    ("image of the gateway", "its entry point, python -m gateway, of this checkout"),
    ("image of Triton", "its entry point, docker/serve_triton.sh, before the wheel's Triton"),
    ("claim of the model", "a folder of this machine, read-only at the same path"),
    ("user of the image", "root in a namespace of users"),
    ("requests and limits, network policies, seccomp", "nothing"),
)
_REFERENCE = re.compile(r"\$\((\w+)\)")


@dataclass(frozen=True)
class Image:
    """What an image starts."""

    entry: tuple[str, ...]

    def start(self, container: Manifest, uid: str) -> tuple[list[str], dict[str, str]]:
        """Command and environment of a container of a pod.

        What the image sets stands before what the chart does.
        """
        rendered = {one["name"]: _value(one, uid) for one in container["env"]}
        arguments = [
            _REFERENCE.sub(lambda match: rendered[match[1]], argument)
            for argument in container.get("args", [])
        ]
        return [*self.entry, *arguments], _environment() | rendered


def _value(variable: Manifest, uid: str) -> str:
    if "value" in variable:
        return variable["value"]
    assert variable["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.uid"}}, variable
    return uid


GATEWAY = Image((sys.executable, "-m", "gateway"))
TRITON = Image((sys.executable, "-m", "tests.fleet.triton_entry"))


def _environment() -> dict[str, str]:
    """Of both images: where Python and its shared library lie, and no file written."""
    libraries = [sysconfig.get_config_var("LIBDIR") or "", f"{sys.base_prefix}/lib"]
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/tmp",  # noqa: S108 - of the container
    }
