"""What a tool checked, how long it took and what it found, one line a tool."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checked:
    """What one tool did.

    what  with counts, such as `14 variants`
    """

    tool: str
    what: str
    findings: tuple[str, ...] = ()


Check = Callable[[Path], Checked]


def run(checks: list[Check], site: Path) -> bool:
    """Run the checks with the tools in a folder, print the report, and say whether all is well."""
    lines, well = [], True
    for check in checks:
        began = time.monotonic()
        checked = check(site)
        seconds = time.monotonic() - began
        for finding in checked.findings:
            print(f"{checked.tool}: {finding}")
        well &= not checked.findings
        lines.append(
            f"{checked.tool:22} {checked.what:74} {seconds:7.1f} {len(checked.findings):8}"
        )
    print(f"\n{'tool':22} {'checked':74} {'seconds':>7} {'findings':>8}", *lines, sep="\n")
    return well
