"""What the growth measurement calls a cliff, and what it compares of a soak."""

from load_tests.bench.growth import cliffs, quarters


def test_a_fall_below_what_less_load_had_is_a_cliff() -> None:
    assert cliffs("callers", [1, 2, 4], [50.0, 100.0, 79.0]) == [
        "Cliff at 4 callers: 79 a second after 100."
    ]


def test_noise_is_no_cliff() -> None:
    assert cliffs("callers", [1, 2, 4], [50.0, 100.0, 90.0]) == []


def test_the_second_quarter_is_compared_with_the_last() -> None:
    assert quarters([1, 2, 3, 4, 5, 6, 7, 8]) == ([3, 4], [7, 8])


def test_a_single_sample_is_compared_with_itself() -> None:
    assert quarters([7.0]) == ([7.0], [7.0])
