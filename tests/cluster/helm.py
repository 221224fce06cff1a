"""A Helm of one version, that installs as one user of the cluster."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.build import PARTS

WAIT = ("--wait", "--timeout", "60s")
SOON = ("--timeout", "15s")  # for what must fail


class HelmError(Exception):
    """What Helm said when it failed."""


@dataclass(frozen=True)
class Helm:
    """The command line of a version, with folders of its own.

    version   helm3 or helm4
    folder    for what Helm keeps
    """

    version: str
    folder: Path
    kubeconfig: Path
    namespace: str

    def apply(self, command: str, release: str, chart: Path, values: Any, *options: str) -> str:
        """`install` or `upgrade` with these values, and wait until everything is ready."""
        file = self.folder / f"{self.namespace}-{release}.json"
        file.write_text(json.dumps(values))
        arguments = [release, str(chart), "--values", str(file)]
        return self.run(command, *arguments, *WAIT, *options)

    def install(self, release: str, chart: Path, values: Any, *options: str) -> str:
        return self.apply("install", release, chart, values, *options)

    def upgrade(self, release: str, chart: Path, values: Any, *options: str) -> str:
        return self.apply("upgrade", release, chart, values, *options)

    def history(self, release: str) -> list[str]:
        """The status of each revision, oldest first."""
        told = self.run("history", release, "--output", "json")
        return [revision["status"] for revision in json.loads(told)]

    def run(self, *arguments: str) -> str:
        """What Helm prints.

        Raises: HelmError
        """
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HELM_", "KUBE"))}
        home = {
            f"HELM_{name}_HOME": str(self.folder / self.version)
            for name in ("CACHE", "CONFIG", "DATA")
        }
        program = PARTS.parent / "chart" / self.version / "helm"
        done = subprocess.run(
            [str(program), *arguments, "--namespace", self.namespace],
            env=inherited | home | {"KUBECONFIG": str(self.kubeconfig)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise HelmError(done.stderr[done.stderr.find("Error:") :].strip())
        return done.stdout
