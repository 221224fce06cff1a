"""The bodies of the deeds are at the limit, and the judgement is the stated one."""

import orjson
import pytest

from gateway import Settings
from load_tests.bench.client import Target
from load_tests.bench.harm import BODY_BYTES, Asked, Row, filled, texts_of

TARGET = Target("http://x/v1/embeddings", "m", {"Authorization": "KEY"})


def test_the_limit_is_that_of_the_gateway() -> None:
    assert Settings(auth="off").max_body_bytes == BODY_BYTES


@pytest.mark.parametrize(
    "body",
    [
        filled(b"[],")(TARGET),
        filled(b".", quoted=True, truncation_strategy="none")(TARGET),
        texts_of("x ", 256)(TARGET),
    ],
    ids=["brackets", "dots", "256 texts"],
)
def test_a_body_is_json_just_below_the_limit(body: bytes) -> None:
    assert BODY_BYTES - 2000 < len(body) <= BODY_BYTES
    assert orjson.loads(body)["model"] == "m"


def row(before: float, during: float, *failures: str) -> Row:
    phases = Asked([before] * 20), Asked([during] * 20, list(failures)), Asked([before] * 20)
    return Row("deed", 1.0, "1 x 200", phases, 100.0, 200.0)


@pytest.mark.parametrize(
    ("measured", "is_borne"),
    [
        (row(10, 30), True),
        (row(10, 31), False),
        (row(100, 251), False),
        (row(10, 10, "504"), False),
    ],
    ids=["3 x", "above 3 x", "above 250 ms", "failed"],
)
def test_a_question_bears_three_times_the_latency_and_no_failure(
    measured: Row, is_borne: bool
) -> None:
    assert is_borne is measured.is_borne
