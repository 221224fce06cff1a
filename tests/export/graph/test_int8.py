"""int8: close to float32, and the same bytes whatever the neighbours."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from export.errors import VerificationFailed
from export.graph.calibration import watch_inputs
from export.graph.encoder import write_model
from export.graph.int8 import linears, round_weights, smoothing, use_int8, zero_point
from export.graph.quality import Run, calibration_texts, compare, real_texts, recall
from export.reference import load
from export.serving import CPU_TOKENS
from export.steps.batching import WIDE, Batcher
from export.steps.inference import CpuEncoder
from export.steps.memory import Memory
from export.steps.quantization import normalize
from export.steps.tokenization import PackedTokenizer
from tests.checkpoints import make_checkpoint
from tests.texts import mixed_texts

MIN_COSINE = 0.98  # two layers of random weights, 32 wide


def test_each_column_of_the_weights_has_its_own_scale() -> None:
    weights = np.array([[1.0, 0.001], [-0.5, 0.002]], dtype=np.float32)

    rounded = round_weights(weights)

    assert [[127, 64], [-64, 127]] == rounded.values.tolist()
    np.testing.assert_allclose(rounded.values * rounded.scales, weights, rtol=0.01)


def test_a_column_of_zeros_stays_zero() -> None:
    rounded = round_weights(np.zeros((4, 2), dtype=np.float32))

    assert not (rounded.values * rounded.scales).any()


def test_channels_make_up_for_what_the_rounding_of_others_loses() -> None:
    rng = np.random.default_rng(seed=0)
    weights = rng.standard_normal((16, 8)).astype(np.float32)
    states = rng.standard_normal((100, 4)) @ rng.standard_normal((4, 16))  # they go together
    gram = (states.T @ states).astype(np.float32)

    alone, together = round_weights(weights), round_weights(weights, gram)

    losses = [
        np.abs(states @ (each.values * each.scales - weights)).mean() for each in (alone, together)
    ]
    assert losses[1] < losses[0] / 2


@pytest.mark.parametrize(
    ("least", "largest", "expected"),
    [(-1.0, 1.0, 128), (-1.0, 3.0, 64), (-0.17, 20.0, 24), (0.0, 0.0, 24), (-9.0, 0.0, 231)],
)
def test_zero_stands_where_most_integers_are_used(
    least: float, largest: float, expected: int
) -> None:
    assert expected == zero_point(np.array([[least, 0.0], [largest, 0.0]], dtype=np.float32))


def test_smoothing_divides_the_large_channels() -> None:
    factors = smoothing(np.array([1.0, 100.0, 1.0], np.float32), np.ones((3, 2), np.float32))

    assert 1.0 == factors[0] == factors[2]
    assert factors[1] > 10


@pytest.mark.slow
def test_int8_is_close_and_does_not_see_its_neighbours(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", "bert")
    reference = load(checkpoint)
    tokenizer = PackedTokenizer(checkpoint / "tokenizer.json", reference.spec.max_length)
    model = reference.convert()
    write_model(model, tmp_path / "fp32.onnx")
    use_int8(model, watch_inputs(model, tokenizer, mixed_texts(32)))
    write_model(model, tmp_path / "int8.onnx")

    input_ids, seq_lens = tokenizer.tokenize(mixed_texts(60))
    texts = np.split(input_ids, np.cumsum(seq_lens)[:-1])
    exact, rounded = (
        CpuEncoder(tmp_path / name, precision=name[:4]) for name in ("fp32.onnx", "int8.onnx")
    )
    expected = exact.embed(input_ids, seq_lens)
    alone = np.concatenate([rounded.embed(ids, np.array([len(ids)], np.int32)) for ids in texts])
    assert (normalize(expected) * normalize(alone)).sum(axis=1).min() > MIN_COSINE
    memory = Memory(rounded.text_bytes, rounded.threads)
    for tokens in (64, CPU_TOKENS, WIDE * CPU_TOKENS, 10**9):
        with closing(Batcher(rounded, tokens, memory)) as batcher:
            together = batcher.submit(input_ids, seq_lens).result()
        np.testing.assert_array_equal(together, alone, strict=True)


@pytest.mark.slow
def test_every_product_but_the_first_that_narrows_is_in_int8(tmp_path: Path) -> None:
    model = load(make_checkpoint(tmp_path / "checkpoint", "bert")).convert()

    # Of each of two layers: query, key and value as one, the attention's output, both of the MLP.
    assert 2 * 4 - 1 == len(linears(model))


def test_recall_counts_the_neighbours_that_stay() -> None:
    vectors = normalize(np.random.default_rng(seed=0).standard_normal((50, 8)).astype(np.float32))
    shuffled = np.roll(vectors, 1, axis=0)

    assert 1.0 == recall(vectors, vectors)
    assert recall(vectors, shuffled) < 0.5


def test_too_little_recall_is_not_published() -> None:
    vectors = normalize(np.random.default_rng(seed=0).standard_normal((50, 8)).astype(np.float32))
    runs = Run(vectors, 1.0), Run(np.roll(vectors, 1, axis=0), 2.0)

    with pytest.raises(VerificationFailed, match="nearest neighbours"):
        compare(*runs)


def test_the_corpus_is_unique_and_apart_from_the_calibration() -> None:
    texts = real_texts(300)

    assert 300 == len(set(texts))
    assert texts == real_texts(300)
    assert not set(texts) & set(calibration_texts())
