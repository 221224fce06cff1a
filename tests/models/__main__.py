"""Every structure exported and compared, and what is refused; docs/models.md of it.

python -m tests.models --gateway --record docs/models.md
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers.utils import logging

from export.errors import ExportError
from tests.checkpoints import ARCHITECTURES
from tests.models.comparison import Outcome, compare
from tests.models.page import Findings, render
from tests.models.refused import REFUSED, refusal
from tests.models.service import compare_served


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, record; exit code 1 if anything was wrong, which is not recorded."""
    options = _parser().parse_args(arguments)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with TemporaryDirectory() as place:
        folder = Path(place)
        outcomes = {name: _outcome(name, folder / "structures") for name in ARCHITECTURES}
        refusals = {name: _refusal(name, folder / "refused") for name in REFUSED}
        served = _served(folder / "service") if options.gateway else {}
    findings = Findings(outcomes, refusals, served)
    for line in findings.wrong():
        print(f"wrong: {line}", file=sys.stderr)
    if findings.wrong():
        return 1
    if options.record:
        options.record.write_text(render(findings), encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.models", description=__doc__)
    parser.add_argument(
        "--gateway", action="store_true", help="also through Triton and the gateway"
    )
    parser.add_argument("--record", type=Path, help="the page to write, if nothing is wrong")
    return parser


def _outcome(structure: str, folder: Path) -> Outcome | str:
    try:
        outcome = compare(structure, folder)
    except (ExportError, AssertionError) as error:
        print(f"{structure}: {error}", flush=True)
        return str(error)
    print(f"{structure}: {outcome.how}, 1 - {1 - outcome.min_cosine:.1e}", flush=True)
    return outcome


def _refusal(checkpoint: str, folder: Path) -> str | None:
    sentence = refusal(checkpoint, folder)
    print(f"{checkpoint}: {sentence or 'served'}", flush=True)
    return sentence


def _served(folder: Path) -> dict[str, float]:
    folder.mkdir()
    served = {}
    for structure, cosine in compare_served(folder):
        print(f"{structure} through the gateway: 1 - {1 - cosine:.1e}", flush=True)
        served[structure] = cosine
    return served


if __name__ == "__main__":
    sys.exit(main())
