"""docs/contract.md: documented errors == real errors."""

import re
from pathlib import Path

from gateway.errors import GatewayError, HungUp
from tests.gateway.test_errors import every_error

DOCUMENT = Path(__file__).parents[3] / "docs" / "contract.md"
Row = tuple[str, str, str, str]


def documented_errors() -> set[Row]:
    row = re.compile(r"\| [^|]+ \| (\d{3}) \| `(\w+)` \| `(\w+)` \| `(\w+)` \|")
    return {match.groups() for match in row.finditer(DOCUMENT.read_text())}  # type: ignore[misc]


def real_errors() -> set[Row]:
    leaves: list[type[GatewayError]] = [kind for kind in every_error() if "type" in vars(kind)]
    coded = [kind for kind in every_error() if "code" in vars(kind) and kind not in leaves]
    kinds = [kind for kind in (*leaves, *coded) if kind is not HungUp]
    return {(str(kind.status), kind.type, kind.code, kind.openai_type) for kind in kinds}


def test_the_documented_errors_are_the_real_ones() -> None:
    assert documented_errors() == real_errors()
