"""Both ends of a text: whole characters, as far as asked for, and what is left out of them."""

import pytest

from export.steps.tokenization.reading import BLOCK_BYTES, CONTEXT_BYTES, End, Head, Tail
from tests.export.steps.tokenization.kinds import run

ENDS = [Head, Tail]


def nothing(before: str, middle: str, after: str) -> int | None:
    return None


def everything(before: str, middle: str, after: str) -> int | None:
    return 0


def two_tokens(before: str, middle: str, after: str) -> int | None:
    return 2


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("end", ENDS)
def test_a_character_is_never_cut(end: type[End], size: int) -> None:
    text = "aé面🍞"
    reader = end(text.encode())

    reader.grow(size)

    read = reader.text
    assert len(read.encode()) >= size
    assert len(read[1:].encode()) < size or len(read[:-1].encode()) < size
    assert text.startswith(read) if end is Head else text.endswith(read)


@pytest.mark.parametrize("end", ENDS)
def test_all_is_read_once(end: type[End]) -> None:
    text = "aé面🍞" * 5
    reader = end(text.encode())

    for size in (1, 2, 3, 4, 50):
        assert not reader.is_whole
        reader.grow(size)

    assert text == reader.text
    assert reader.is_whole


@pytest.mark.parametrize("end", ENDS)
def test_reading_stops_exactly_at_the_other_end(end: type[End]) -> None:
    reader = end(b"abcd")

    reader.grow(3)
    assert not reader.is_whole
    reader.grow(1)
    assert reader.is_whole


def test_what_is_further_is_not_read() -> None:
    head, tail = Head(b"abcdef"), Tail(b"abcdef")
    head.grow(2)
    tail.grow(2)

    assert ("cdef", "abcd") == (head.further(), tail.further())
    assert ("ef", "ab") == (head.further(skipped=2), tail.further(skipped=2))
    assert ("ab", "ef") == (head.text, tail.text)


def test_no_more_than_a_context_is_looked_at() -> None:
    data = b"a" * (2 * CONTEXT_BYTES)

    assert CONTEXT_BYTES == len(Head(data).further()) == len(Tail(data).further())


@pytest.mark.parametrize("count", [0, 1, 2, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5])
@pytest.mark.parametrize("character", ["a", "面", "🍞"])
def test_beyond_a_character_is_what_follows_all_of_it(character: str, count: int) -> None:
    run_of_it = character * count
    head, tail = Head(f"x{run_of_it}yz".encode()), Tail(f"yz{run_of_it}x".encode())
    head.grow(1)
    tail.grow(1)

    assert ("yz", "yz") == (head.beyond(character), tail.beyond(character))


@pytest.mark.parametrize("blanks", ["", " ", " \n\t\u3000" * 20_000])
def test_beyond_blanks_is_what_is_none(blanks: str) -> None:
    head, tail = Head(f"x{blanks}y".encode()), Tail(f"y{blanks}x".encode())
    head.grow(1)
    tail.grow(1)

    assert ("y", "y") == (head.beyond_blanks(), tail.beyond_blanks())


@pytest.mark.parametrize("end", ENDS)
def test_blanks_to_the_other_end_have_nothing_beyond(end: type[End]) -> None:
    assert end(b" " * 100_000).beyond_blanks() == ""


@pytest.mark.parametrize("end", ENDS)
def test_what_may_not_be_left_out_stays(end: type[End]) -> None:
    reader = end(b"a" * 5000)

    run(reader.skip(nothing, 1000))

    reader.grow(5000)
    assert len(reader.text) == 5000
    assert [] == reader.gaps


@pytest.mark.parametrize("end", ENDS)
def test_of_what_repeats_one_copy_stays(end: type[End]) -> None:
    reader = end(b"x" + b"ab" * 2000 + b"x")
    reader.grow(1)

    run(reader.skip(two_tokens, 100))

    reader.grow(10_000)
    assert b"x" + b"ab" * 50 + b"x" == reader.text.encode()


@pytest.mark.parametrize("end", ENDS)
def test_what_has_tokens_and_does_not_repeat_stays(end: type[End]) -> None:
    data = bytes(range(97, 123)) * 100
    reader = end(data)

    run(reader.skip(two_tokens, 100))

    reader.grow(10_000)
    assert data == reader.text.encode()


@pytest.mark.parametrize("end", ENDS)
def test_a_block_without_tokens_goes_though_it_does_not_repeat(end: type[End]) -> None:
    data = b"".join(b"%07d" % number for number in range(20_000))
    reader = end(data)
    reader.grow(100)

    slices = list(reader.skip(everything, BLOCK_BYTES))

    assert [False] * (140_000 // BLOCK_BYTES) == slices
    reader.grow(140_000)
    left = 140_000 % BLOCK_BYTES
    expected = data[:100] + data[100 - left :] if end is Head else data[: left - 100] + data[-100:]
    assert expected == reader.text.encode()


@pytest.mark.parametrize("end", ENDS)
def test_parts_go_no_more_than_the_times_that_are_asked_for(end: type[End]) -> None:
    data = b"".join(b"%07d" % number for number in range(1000))
    reader = end(data)

    assert [False, False] == list(reader.skip(everything, 700, times=2))

    reader.grow(7000)
    assert len(reader.text) == 5600


@pytest.mark.parametrize("end", ENDS)
def test_what_repeats_goes_at_once(end: type[End]) -> None:
    reader = end(b"ab" * 5000)

    assert [False] == list(reader.skip(everything, 100, times=1))

    reader.grow(10_000)
    assert len(reader.text) == 100


def test_a_gap_is_where_something_is_left_out() -> None:
    head, tail = Head(b"abc" + b"-" * 5000 + b"def"), Tail(b"abc" + b"-" * 5000 + b"def")
    for reader in (head, tail):
        reader.grow(3)
        run(reader.skip(everything, 500))
        reader.grow(5000)

    assert "abcdef" == head.text == tail.text
    assert ([3], [3]) == (head.gaps, tail.gaps)


def test_gaps_move_with_what_is_dropped() -> None:
    head = Head(b"abc" + b"-" * 5000 + b"def")
    head.grow(3)
    run(head.skip(everything, 500))
    head.grow(5000)

    head.drop(2)

    assert "cdef" == head.text
    assert [1] == head.gaps
    head.drop(1)
    assert [] == head.gaps


def test_whether_something_may_go_is_asked_with_its_neighbours() -> None:
    asked = []

    def ask(before: str, middle: str, after: str) -> int | None:
        asked.append((before, middle, after))
        return None

    text = "".join(chr(ord("a") + number % 26) for number in range(3000))
    head, tail = Head(text.encode()), Tail(text.encode())
    for reader in (head, tail):
        reader.grow(1000)
        run(reader.skip(ask, 100))

    size = CONTEXT_BYTES
    assert (text[1000 - size : 1000], text[1000:1100], text[1100 : 1100 + size]) == asked[0]
    assert (text[1900 - size : 1900], text[1900:2000], text[2000 : 2000 + size]) == asked[1]


@pytest.mark.parametrize("end", ENDS)
def test_what_comes_last_is_never_left_out(end: type[End]) -> None:
    reader = end(b"a" * 100)

    run(reader.skip(everything, 100))

    reader.grow(100)
    assert len(reader.text) == 100
