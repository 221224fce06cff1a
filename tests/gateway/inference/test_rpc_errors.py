"""What of Triton's words gets into the log."""

import pytest

from gateway.inference.rpc_errors import MAX_REASON_CHARACTERS, cut_texts

STEP = "org--model@0123456789ab"


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ("Exceeds maximum queue size", "Exceeds maximum queue size"),
        ("in ensemble 'm', encoder: out of\n memory", "in ensemble 'm', encoder: out of memory"),
        ("in ensemble 'm', tokenizer: cannot read 'sesame'", "in ensemble 'm', tokenizer …"),
        (f"Failed to process the request(s) for model '{STEP}-tokenizer_0', message: sesame",
         f"Failed to process the request(s) for model '{STEP}-tokenizer …"),
        ("x" * 1000, "x" * MAX_REASON_CHARACTERS),
        ("", ""),
    ],
    ids=["the scheduler", "the encoder", "the tokenizer", "its process", "at length", "nothing"],
)  # fmt: skip
def test_the_step_that_sees_texts_is_not_quoted(details: str, told: str) -> None:
    assert told == cut_texts(details)
