"""Checks the chart by all tools: python -m tests.helm.tools FOLDER-OF-TOOLS."""

import re
import subprocess
import sys
from pathlib import Path

from tests.helm.tools import engines
from tests.helm.tools.mistakes import manifests_with_mistakes
from tests.helm.tools.models import models
from tests.helm.tools.policy import policies
from tests.helm.tools.report import Check, Checked, run
from tests.helm.tools.versions import schemas


def tests(_: Path) -> Checked:
    """Which need no tools, and run within `make test` too."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/helm"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    ending = re.sub(r" in .*", "", done.stdout.splitlines()[-1])
    return Checked("pytest", ending, (done.stdout,) if done.returncode else ())


CHECKS: list[Check] = [tests, *engines.CHECKS, schemas, models, policies, manifests_with_mistakes]

sys.exit(not run(CHECKS, Path(sys.argv[1]).resolve()))
