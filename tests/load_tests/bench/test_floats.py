"""That the comparison of writers would notice a wrong bit; nothing here is timed."""

import numpy as np
import orjson
import pytest

from load_tests.bench.floats import comes_back, read, vectors, writers


@pytest.mark.parametrize("name", ["orjson, array of float32", "msgspec, list"])
def test_every_number_of_every_row_is_read(name: str) -> None:
    rows = vectors()
    assert comes_back(read(writers()[name](rows)), rows)


def test_a_lost_bit_is_noticed() -> None:
    rows = vectors()
    text = orjson.dumps(np.nextafter(rows, np.float32(1)), option=orjson.OPT_SERIALIZE_NUMPY)
    assert not comes_back(read(text), rows)
