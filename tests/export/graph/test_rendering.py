"""The ONNX operators: what the plain ones give, and the same bytes in every company."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling

from export.graph import packed
from export.graph.blocks import BLOCK
from tests.export.graph.operators import KINDS, LONG, SHORT, Attention, onnx, pooling

TOLERANCE = 1e-5  # float32, sums of up to 641 terms in another order


every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@every_kind
@pytest.mark.parametrize("lengths", SHORT + LONG, ids=str)
def test_attention_agrees_with_the_plain_one(kind: Attention, lengths: list[int]) -> None:
    texts = [kind.draw(length) for length in lengths]

    found = np.concatenate(onnx(kind)(*texts))

    np.testing.assert_allclose(found[np.newaxis], kind.plain(*texts), atol=TOLERANCE)


@every_kind
def test_a_text_has_the_same_bytes_alone_in_whole_and_in_blocks(kind: Attention) -> None:
    """Beside a long text, short ones are in blocks too, and the blocks have another size."""
    attend = onnx(kind)
    texts = [kind.draw(length) for length in (1, 2, 3, 30, BLOCK - 1, BLOCK, BLOCK + 1, 500, 1500)]
    alone = [attend(text)[0] for text in texts]

    for found in (attend(*texts), attend(*reversed(texts))[::-1]):
        for ours, theirs in zip(alone, found, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for first, second in pairwise(range(len(texts))):
        found = attend(texts[first], texts[second])
        np.testing.assert_array_equal(alone[first], found[0])
        np.testing.assert_array_equal(alone[second], found[1])


@pytest.mark.parametrize("size", [4, 16, 24, 32, 64, 80, 128, 256])
def test_where_keys_begin_does_not_change_the_bytes(size: int) -> None:
    """Local attention leaves keys out before a block; a block's size changes where."""
    attend = onnx(Attention(heads=1, shared=1, size=size, window=600))
    texts = [Attention(heads=1, shared=1, size=size).draw(length) for length in (2000, 2500)]

    alone, beside = attend(texts[0])[0], attend(*texts)[0]

    np.testing.assert_array_equal(alone, beside)


@pytest.mark.parametrize("lengths", [[5, 9, 2], [5, BLOCK + 10, 2]], ids=["whole", "in blocks"])
@pytest.mark.parametrize("sick", [0, 1, 2])
def test_what_is_not_a_number_stays_within_its_text(lengths: list[int], sick: int) -> None:
    kind = Attention()
    texts = [kind.draw(length) for length in lengths]
    for states in texts[sick]:
        states[:] = np.nan

    found = onnx(kind)(*texts)

    assert [bool(np.isnan(text).any()) for text in found] == [n == sick for n in range(3)]


def test_padding_in_a_text_has_its_own_position_and_counts_for_none() -> None:
    """As RoBERTa: Source: transformers, create_position_ids_from_input_ids."""
    ids, lengths = torch.tensor([7, 1, 8, 9, 1, 7]), torch.tensor([4, 2])

    assert [2, 1, 3, 4, 1, 2] == packed.positions(ids, lengths, 1).tolist()


@pytest.mark.parametrize("mode", packed.POOLINGS)
@pytest.mark.parametrize("lengths", SHORT + LONG, ids=str)
def test_pooling_agrees_with_the_plain_one(mode: str, lengths: list[int]) -> None:
    states = torch.randn(sum(lengths), 5)

    found = pooling(mode)(states.numpy(), np.array(lengths, dtype=np.int32))

    expected = packed.pool(states, torch.tensor(lengths), mode).numpy()
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.mark.parametrize("mode", packed.POOLINGS)
def test_pooling_gives_a_text_the_same_bytes_whatever_its_neighbours(mode: str) -> None:
    pool = pooling(mode)
    texts = [
        np.random.default_rng(seed=n).standard_normal((n, 5), dtype=np.float32)
        for n in range(1, 40)
    ]
    lengths = np.array([len(text) for text in texts], dtype=np.int32)

    together = pool(np.concatenate(texts), lengths)

    alone = [pool(text, lengths[n : n + 1])[0] for n, text in enumerate(texts)]
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("mode", packed.POOLINGS)
def test_pooling_agrees_with_sentence_transformers(mode: str) -> None:
    theirs = Pooling(5, mode)
    texts = [torch.randn(length, 5) for length in (1, 2, 7)]

    found = packed.pool(torch.cat(texts), torch.tensor([1, 2, 7]), mode)

    for text, ours in zip(texts, found, strict=True):
        features = {"token_embeddings": text[None], "attention_mask": torch.ones(1, len(text))}
        torch.testing.assert_close(theirs(features)["sentence_embedding"][0], ours)


@pytest.mark.parametrize("mode", packed.POOLINGS)
def test_pooling_keeps_what_is_not_a_number_within_its_text(mode: str) -> None:
    states = np.ones((9, 5), dtype=np.float32)
    states[:2] = np.nan

    found = pooling(mode)(states, np.array([2, 6, 1], dtype=np.int32))

    assert [True, False, False] == np.isnan(found).any(axis=1).tolist()
