"""Errors of libraries as sentences of ours."""

from pathlib import Path

import pytest

from export.errors import ConversionFailed, UnsupportedModel, one_line, told


class PanicException(BaseException):
    """As libraries in Rust raise it, which is no Exception."""


@pytest.mark.parametrize(
    "error", [ValueError("two\n lines"), OSError("two\n lines"), PanicException("two lines")]
)
def test_whatever_a_library_raises_is_one_sentence(error: BaseException) -> None:
    expected = rf"^a/b: it cannot be read \({type(error).__name__}: two lines\)$"

    with (
        pytest.raises(UnsupportedModel, match=expected) as raised,
        told(UnsupportedModel, "a/b: it cannot be read"),
    ):
        raise error

    assert error is raised.value.__cause__


@pytest.mark.parametrize(
    "error", [ConversionFailed("ours"), OSError(28, "No space left", "a/b"), KeyboardInterrupt()]
)
def test_what_says_enough_goes_on(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, told(UnsupportedModel, "it cannot be read"):
        raise error

    assert error is raised.value


def test_a_folder_is_named_once() -> None:
    error = OSError(f"\x1b[1mno /a/checkpoint/b.json\x1b[0m in /a/checkpoint{' or' * 200}")

    sentence = one_line(error, Path("/a/checkpoint"))

    assert sentence.startswith("OSError: no b.json in the folder or or")
    assert len(sentence) < 260
