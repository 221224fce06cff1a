"""Checks the chart by all tools: python -m tests.helm.tools FOLDER-OF-TOOLS."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.helm.tools import engines
from tests.helm.tools.mistakes import manifests_with_mistakes, values_with_mistakes
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


def random_values(_: Path) -> Checked:
    """Other ones each time: what fails is printed with the values."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "tests/helm/test_properties.py"],
        env=os.environ | {"EXAMPLES": str(EXAMPLES)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    what = f"{EXAMPLES} sets that the schema allows one by one: refused by place, or good"
    return Checked("values at random", what, (done.stdout,) if done.returncode else ())


EXAMPLES = 300
CHECKS: list[Check] = [
    tests,
    random_values,
    *engines.CHECKS,
    schemas,
    models,
    policies,
    values_with_mistakes,
    manifests_with_mistakes,
]

sys.exit(not run(CHECKS, Path(sys.argv[1]).resolve()))
