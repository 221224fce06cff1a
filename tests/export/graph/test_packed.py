"""The attention seam: texts stay apart."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from export.graph import packed

LENGTHS = ([1], [5, 9, 2], [1, 1, 1, 1], [33, 1, 7])
TOLERANCE = 1e-5  # float32, sums of up to 33 terms in another order


def attend(causal: bool, window: int, groups: int) -> Callable[..., Tensor]:
    """Attention of values (T, 4, 8) to themselves, twice themselves and themselves plus 1."""

    def function(values: Tensor, seq_lens: Tensor) -> Tensor:
        shared = values[:, ::groups]
        states = (x.flatten(1)[None] for x in (values, shared * 2, shared + 1))
        result: Tensor = packed.attention(*states, seq_lens, 8, 0.5, causal, window)
        return result

    return function


def dense_attention(
    values: Tensor, lengths: list[int], causal: bool, window: int, groups: int
) -> Tensor:
    """The same by torch's own attention, text by text."""
    outputs = []
    for text in values.split(lengths):
        kept = text[:, ::groups].repeat_interleave(groups, dim=1)
        distance = torch.arange(len(text))[:, None] - torch.arange(len(text))
        seen = (distance.abs() < window) if window else torch.ones_like(distance, dtype=torch.bool)
        seen &= (distance >= 0) if causal else True
        query, key, value = (x.transpose(0, 1) for x in (text, kept * 2, kept + 1))
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, scale=0.5
        )
        outputs.append(attended.transpose(0, 1).flatten(1))
    return torch.cat(outputs)[None]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_packed_attention_is_dense_attention_text_by_text(
    causal: bool, window: int, groups: int, lengths: list[int]
) -> None:
    values = torch.randn(sum(lengths), 4, 8)

    found = attend(causal, window, groups)(values, torch.tensor(lengths))

    expected = dense_attention(values, lengths, causal, window, groups)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


def positions(values: Tensor, seq_lens: Tensor) -> Tensor:
    result: Tensor = packed.positions(values, seq_lens)
    return result


def pooled(mode: str) -> Callable[..., Tensor]:
    def function(values: Tensor, seq_lens: Tensor) -> Tensor:
        result: Tensor = packed.pool(values, seq_lens, mode)
        return result

    return function


def test_positions_begin_anew_with_each_text() -> None:
    found = positions(torch.zeros(6, dtype=torch.int64), torch.tensor([3, 1, 2]))

    assert [0, 1, 2, 0, 0, 1] == found.tolist()


@pytest.mark.parametrize(
    ("mode", "expected"), [("mean", [1.5, 3.0]), ("cls", [1.0, 3.0]), ("last_token", [2.0, 3.0])]
)
def test_pooling_takes_each_text_alone(mode: str, expected: list[float]) -> None:
    token_embeddings = torch.tensor([[1.0], [2.0], [3.0]])

    assert expected == pooled(mode)(token_embeddings, torch.tensor([2, 1])).flatten().tolist()
