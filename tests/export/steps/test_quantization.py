"""The six formats: worked examples, rules for every number of dimensions, edge cases."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.steps.quantization import (
    FORMATS,
    NATIVE,
    DimensionsRefused,
    Floats,
    FormatsRefused,
    int8_scale,
    normalize,
    quantize,
    read_formats,
    resolve_dimensions,
    to_binary,
    to_int8,
    to_ubinary,
    to_uint8,
)

UNIT = np.array([[0.5, -0.5, 0.25, -0.25, 0.5, -0.25, 0.25, 0.0]], dtype=np.float32)
ALL_FORMATS = FORMATS


def some_embeddings(rows: int, dimensions: int) -> Floats:
    rng = np.random.default_rng(seed=dimensions)
    return rng.standard_normal((rows, dimensions)).astype(np.float32) * 3


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (to_ubinary(UNIT), [170]),
        (to_binary(UNIT), [42]),
        (to_int8(UNIT), [47, -47, 23, -23, 47, -23, 23, 0]),
        (to_uint8(UNIT), [175, 80, 151, 104, 175, 104, 151, 128]),
    ],
    ids=["ubinary", "binary", "int8", "uint8"],
)
def test_the_worked_example_of_eight_dimensions(encoded: NDArray[Any], expected: list[int]) -> None:
    assert expected == encoded[0].tolist()


def test_a_last_partial_byte_is_filled_with_zero_bits() -> None:
    signs = np.array([[1, -1, 1, 1, -1, 1, -1, -1, 1, 1, -1, 1]], dtype=np.float32)

    assert [180, 208] == to_ubinary(signs)[0].tolist()
    assert [52, 80] == to_binary(signs)[0].tolist()


def test_half_precision_rounds_to_the_nearest_even() -> None:
    row = np.array([[0.1]], dtype=np.float32)

    assert 0.0999755859375 == float(quantize(row, 1, False, ["FLOAT16"])["FLOAT16"][0, 0])


def test_the_hosted_vector_of_2024_gives_its_hosted_byte() -> None:
    head = [0.3718256, -0.5426898, -0.15350959, 0.17974803]
    head += [-0.6034504, 0.39812338, -0.08273504, 0.06571669]

    assert 21 == to_binary(np.array([head], dtype=np.float32))[0, 0]


@pytest.mark.parametrize(
    ("dimensions", "expected"),
    [(1024, 459.367), (768, 437.820), (512, 407.451), (384, 385.903), (16, 147.867), (3, 95.950)],
)
def test_the_scale_grows_with_the_dimensions_and_is_held_below_eight(
    dimensions: int, expected: float
) -> None:
    assert int8_scale(dimensions) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("dimensions", range(1, 66))
def test_unpacked_bits_are_the_signs(dimensions: int) -> None:
    embeddings = some_embeddings(5, dimensions)

    packed = to_ubinary(embeddings)
    bits = np.unpackbits(packed, axis=1)[:, :dimensions]

    assert (5, (dimensions + 7) // 8) == packed.shape
    np.testing.assert_array_equal(embeddings > 0, bits.astype(bool))
    np.testing.assert_array_equal(packed.astype(int) - 128, to_binary(embeddings).astype(int))


def test_zero_and_minus_zero_are_no_positive_signs() -> None:
    assert [0] == to_ubinary(np.array([[0.0, -0.0]], dtype=np.float32))[0].tolist()


def test_a_component_beyond_the_range_is_clamped() -> None:
    spike = np.zeros((1, 1024), dtype=np.float32)
    spike[0, :2] = [1, -1]  # no unit vector has both; each alone is beyond the range

    assert [127, -128] == to_int8(spike)[0, :2].tolist()
    assert [255, 0] == to_uint8(spike)[0, :2].tolist()


def test_uint8_rounds_down_where_int8_rounds_toward_zero() -> None:
    unit = normalize(some_embeddings(20, 64))

    difference = to_uint8(unit).astype(int) - 128 - to_int8(unit).astype(int)

    assert {0, -1} == set(np.unique(difference).tolist())


def reference_int8(unit: Floats) -> NDArray[np.int8]:
    """As docs/contract.md says it, in its order."""
    scaled = unit.astype(np.float64) * int8_scale(unit.shape[1])
    return np.trunc(np.clip(scaled, -128, 127)).astype(np.int8)


def reference_uint8(unit: Floats) -> NDArray[np.uint8]:
    scaled = unit.astype(np.float64) * int8_scale(unit.shape[1]) + 128
    return np.floor(np.clip(scaled, 0, 255)).astype(np.uint8)


def assert_integers(unit: Floats) -> None:
    np.testing.assert_array_equal(reference_int8(unit), to_int8(unit))
    np.testing.assert_array_equal(reference_uint8(unit), to_uint8(unit))


@pytest.mark.parametrize("dimensions", [*range(1, 66), 127, 384, 1000, 1024, 4096, 16384, 20000])
def test_integers_are_those_of_the_contract_at_every_boundary(dimensions: int) -> None:
    """Where a number is truncated or clamped, and the floats beside that."""
    bounds = np.arange(-130, 131) / int8_scale(dimensions)
    exact = bounds.astype(np.float32)
    beside = [exact, np.nextafter(exact, np.float32(2)), np.nextafter(exact, np.float32(-2))]
    ends = np.array([-1, -0.0, 0, 1, 1e-45, -1e-45], dtype=np.float32)
    numbers = np.concatenate([*beside, ends])
    numbers = numbers[np.abs(numbers) <= 1]  # of unit vectors

    assert_integers(np.resize(numbers, (-(-len(numbers) // dimensions), dimensions)))


@pytest.mark.parametrize("rows", [0, 1, 41, 42, 43, 100])
def test_integers_are_those_of_the_contract_in_every_block(rows: int) -> None:
    assert_integers(normalize(some_embeddings(rows, 384)))


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1e-12, 1, 1e18, 1e30, 3e38])
def test_integers_of_embeddings_of_any_length_are_those_of_the_contract(scale: float) -> None:
    embeddings = np.clip(some_embeddings(50, 24), -1, 1) * np.float32(scale)

    assert np.isfinite(embeddings).all()
    with np.errstate(over="ignore"):
        assert_integers(normalize(embeddings))


@pytest.mark.parametrize("normalized", [True, False])
def test_integers_and_bits_do_not_depend_on_normalized(normalized: bool) -> None:
    embeddings = some_embeddings(4, 64)

    found = quantize(embeddings, 64, normalized, ALL_FORMATS)

    np.testing.assert_array_equal(to_int8(normalize(embeddings)), found["INT8"])
    np.testing.assert_array_equal(to_ubinary(embeddings), found["UBINARY"])


def test_the_cut_comes_before_the_norm() -> None:
    embeddings = some_embeddings(4, 64)

    cut = quantize(embeddings, 16, True, ["FLOAT"])["FLOAT"]

    np.testing.assert_allclose(np.linalg.norm(cut, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(normalize(embeddings[:, :16]), cut)


def test_a_zero_embedding_stays_zero() -> None:
    zeros = np.zeros((1, 16), dtype=np.float32)

    found = quantize(zeros, 16, True, ALL_FORMATS)

    assert not found["FLOAT"].any()
    assert not found["INT8"].any()
    assert [128] * 16 == found["UINT8"][0].tolist()


def test_an_embedding_however_short_has_length_one() -> None:
    short = some_embeddings(3, 16) * np.float32(1e-11)

    np.testing.assert_allclose(np.linalg.norm(normalize(short), axis=1), 1, rtol=1e-6)


def test_an_embedding_too_short_to_be_measured_is_not_blown_up() -> None:
    shorter = np.full((1, 4), 1e-14, dtype=np.float32)

    np.testing.assert_allclose(normalize(shorter), shorter / np.float32(1e-12), rtol=1e-6)


def test_only_the_asked_formats_are_computed() -> None:
    assert ["INT8", "FLOAT"] == list(quantize(some_embeddings(1, 8), 8, True, ["INT8", "FLOAT"]))


def test_a_set_of_formats_is_read_by_its_bits() -> None:
    for formats in range(1, 64):
        named = [
            name for bit, name in enumerate(ALL_FORMATS) if format(formats, "06b")[5 - bit] == "1"
        ]
        assert named == list(read_formats(formats))


@pytest.mark.parametrize("formats", [0, 64, 65, -1, 2**31 - 1])
def test_what_is_no_set_of_formats_is_refused(formats: int) -> None:
    with pytest.raises(FormatsRefused) as caught:
        read_formats(formats)

    assert {"formats": formats, "all": 63} == caught.value.details
    assert f"{formats} is no set of formats" == str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_is_an_error(value: float) -> None:
    embeddings = some_embeddings(2, 8)
    embeddings[1, 3] = value

    with pytest.raises(FloatingPointError):
        quantize(embeddings, 8, True, ["UBINARY"])


def test_permuted_rows_give_permuted_results() -> None:
    embeddings = some_embeddings(7, 24)
    order = np.random.default_rng(seed=1).permutation(7)

    straight = quantize(embeddings, 24, True, ALL_FORMATS)
    permuted = quantize(embeddings[order], 24, True, ALL_FORMATS)

    for name in ALL_FORMATS:
        np.testing.assert_array_equal(straight[name][order], permuted[name])


@pytest.mark.parametrize("dimensions", [1, 13, 64])
def test_the_width_is_what_came_out(dimensions: int) -> None:
    width = quantize(some_embeddings(2, 64), dimensions, True, ["UBINARY", "WIDTH"])["WIDTH"]

    assert (np.dtype(np.int32), [dimensions]) == (width.dtype, width.tolist())


@pytest.mark.parametrize("matryoshka", [True, False])
@pytest.mark.parametrize("asked", [NATIVE, 8])
def test_the_native_size_is_always_allowed(asked: int, matryoshka: bool) -> None:
    assert 8 == resolve_dimensions(asked, 8, matryoshka)


@pytest.mark.parametrize("asked", [1, 7])
def test_a_matryoshka_model_may_be_cut(asked: int) -> None:
    assert asked == resolve_dimensions(asked, 8, True)


@pytest.mark.parametrize(
    ("asked", "matryoshka"), [(-1, True), (9, True), (-1, False), (1, False), (7, False)]
)
def test_a_cut_that_the_model_does_not_allow_is_refused(asked: int, matryoshka: bool) -> None:
    with pytest.raises(DimensionsRefused) as caught:
        resolve_dimensions(asked, 8, matryoshka)

    assert {"dimensions": asked, "native": 8, "matryoshka": matryoshka} == caught.value.details
    assert f"{asked} of 8 dimensions" == str(caught.value)
