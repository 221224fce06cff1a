"""Which answers the callers of `make fleet` take for right."""

import numpy as np
import pytest

from tests.fleet.callers import find_fault

OLD, NEW = np.eye(4, dtype=np.float32), np.eye(6, dtype=np.float32)
KNOWN = {"old": OLD, "new": NEW}
SOME = slice(1, 3)


@pytest.mark.parametrize(
    ("edition", "rows", "fault"),
    [
        pytest.param("old", OLD[SOME].tolist(), "", id="right"),
        pytest.param("new", NEW[SOME].tolist(), "", id="right of another edition"),
        pytest.param("new", OLD[SOME].tolist(), "(2, 4) of edition new", id="another's vectors"),
        pytest.param("old", OLD[:2].tolist(), "1.0 off edition old", id="of other texts"),
        pytest.param("old", OLD[1:2].tolist(), "(1, 4) of edition old", id="too few"),
        pytest.param("gone", OLD[SOME].tolist(), "an unknown edition 'gone'", id="unknown"),
        pytest.param(
            "old",
            [OLD[1].tolist(), NEW[2].tolist()],
            "vectors of several sizes of edition old",
            id="mixed",
        ),
    ],
)
def test_an_answer(edition: str, rows: list[list[float]], fault: str) -> None:
    assert find_fault(SOME, edition, rows, KNOWN) == fault
