"""The standard operator on the gathered grid, which goes to a GPU: as the CPU provider runs it."""

import numpy as np
import onnx_ir as ir
import pytest
import torch

from export.graph import packed
from export.graph.encoder import GPU
from tests.export.graph.operators import KINDS, SHORT, Attention, onnx, pooling

LENGTHS = (*SHORT, [130, 3, 64])
TOLERANCES = {ir.DataType.FLOAT: 1e-5, ir.DataType.FLOAT16: 1e-2}  # of values about 1
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@every_kind
@pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_attention_agrees_with_the_plain_one(
    kind: Attention, dtype: ir.DataType, lengths: list[int]
) -> None:
    texts = [kind.draw(length) for length in lengths]

    found = np.concatenate(onnx(kind, GPU, dtype)(*texts))

    np.testing.assert_allclose(found[np.newaxis], kind.plain(*texts), atol=TOLERANCES[dtype])


@every_kind
def test_what_is_not_a_number_stays_within_its_text(kind: Attention) -> None:
    texts = [kind.draw(length) for length in (5, 9, 2)]
    for states in texts[1]:
        states[:] = np.nan

    found = onnx(kind, GPU)(*texts)

    assert [bool(np.isnan(text).any()) for text in found] == [False, True, False]


@pytest.mark.parametrize("mode", packed.POOLINGS)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_pooling_agrees_with_the_plain_one(mode: str, lengths: list[int]) -> None:
    states = torch.randn(sum(lengths), 5)

    found = pooling(mode, GPU)(states.numpy(), np.array(lengths, dtype=np.int32))

    expected = packed.pool(states, torch.tensor(lengths), mode).numpy()
    np.testing.assert_allclose(found, expected, atol=TOLERANCES[ir.DataType.FLOAT])
