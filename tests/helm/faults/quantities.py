"""Amounts as Kubernetes writes them: `500m`, `8Gi`, `1e3`."""

import re
from decimal import Decimal

_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_FACTORS = {
    **{letter: Decimal(1000) ** (n - 3) for n, letter in enumerate("num") if letter},
    **{letter: Decimal(1000) ** n for n, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** n for n, letter in enumerate("KMGTPE", 1)},
}


def amount(quantity: object) -> Decimal:
    """The number that a quantity stands for.

    Raises: ValueError if it is none, a number without quotes included: what applies on the server
    wants text.
    """
    found = _QUANTITY.fullmatch(quantity) if isinstance(quantity, str) else None
    if found is None:
        raise ValueError(f"{quantity!r} is no quantity")
    digits, exponent, suffix = found.groups()
    return Decimal(digits + (exponent or "")) * _FACTORS.get(suffix or "", Decimal(1))
