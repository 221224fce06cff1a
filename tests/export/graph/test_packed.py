"""The attention seam: texts stay apart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from export.errors import UnsupportedModel
from export.graph import packed

LENGTHS = ([1], [5, 9, 2], [1, 1, 1, 1], [33, 1, 7])
TOLERANCE = 1e-5  # float32, sums of up to 33 terms in another order


def attend(causal: bool, window: int, groups: int) -> Callable[..., Tensor]:
    """Attention of values (T, 4, 8) to themselves, twice themselves and themselves plus 1."""

    def function(values: Tensor, seq_lens: Tensor) -> Tensor:
        shared = values[:, ::groups]
        states = (x.flatten(1)[None] for x in (values, shared * 2, shared + 1))
        result: Tensor = packed.attention(*states, seq_lens, None, 8, 0.5, causal, window, 0.0)
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
    result: Tensor = packed.positions(values, seq_lens, -1)
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
    ("mode", "expected"), [("mean", [1.5, 3.0]), ("cls", [1.0, 3.0]), ("lasttoken", [2.0, 3.0])]
)
def test_pooling_takes_each_text_alone(mode: str, expected: list[float]) -> None:
    token_embeddings = torch.tensor([[1.0], [2.0], [3.0]])

    assert expected == pooled(mode)(token_embeddings, torch.tensor([2, 1])).flatten().tolist()


def call(**asked: Any) -> Tensor:
    """The attention of one text of three tokens, as transformers would call it."""
    states = torch.arange(12.0).view(1, 2, 3, 2)
    attended, _ = packed.attend_packed(
        nn.Module(), states, states, states, None, seq_lens=torch.tensor([3]), **asked
    )
    return attended


def test_the_table_is_added_by_distance_and_ends_at_its_reach() -> None:
    ahead = torch.zeros(2, 3)
    ahead[:, 2] = 1e4  # so large that a token sees only what is one ahead of it, or further

    attended = call(position_bias=ahead)

    values = torch.arange(12.0).view(2, 3, 2)
    torch.testing.assert_close(attended[0, 1], values[:, 2])
    assert (attended[0, 0] > values[:, 1]).all()  # of tokens 1 and 2, the second larger


def test_scores_are_bounded_before_the_softmax() -> None:
    assert not torch.equal(call(scaling=1.0), call(scaling=1.0, softcap=2.0))
    torch.testing.assert_close(call(scaling=1e-4), call(scaling=1e-4, softcap=1e3))


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"s_aux": torch.zeros(2)}, "s_aux"),
        ({"sinks": 1}, "sinks"),
        ({"position_bias": torch.zeros(1, 2, 3, 3)}, "position_bias"),
    ],
    ids=["a tensor", "a number", "a bias of pairs"],
)
def test_attention_that_asks_for_more_is_refused_by_name(asked: dict[str, Any], name: str) -> None:
    with pytest.raises(UnsupportedModel, match=f"the attention of Module asks for {name}"):
        call(**asked)


def test_what_is_not_needed_is_let_pass() -> None:
    torch.testing.assert_close(call(dropout=0.1, use_cache=False, s_aux=None), call())
