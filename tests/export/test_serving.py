"""What can be asked together for a target, and what is decided where nothing is asked."""

from typing import Any, get_args

import pytest

from export.errors import WrongOption
from export.serving import (
    GPU_TOKENS,
    LIMITS,
    PRECISIONS,
    Serving,
    Target,
    micro_batch_tokens,
)


def test_on_a_cpu_nothing_is_left_to_choose() -> None:
    serving = Serving("m")
    assert ("fp32", 128, 1, 1) == (
        serving.settled_precision,
        serving.settled_tokens,
        serving.tokenizers,
        serving.quantizers,
    )
    assert serving == serving.settled("fp32", product_weights=1)


@pytest.mark.parametrize("target", ["cuda", "tensorrt"])
def test_on_a_gpu_the_model_decides_what_nobody_asked_for(target: Target) -> None:
    serving = Serving("m", target=target)
    assert (None, None) == (serving.precision, serving.micro_batch_tokens)
    settled = serving.settled("bf16", product_weights=85_000_000)
    assert ("bf16", 11_776) == (settled.settled_precision, settled.settled_tokens)
    assert 1 < (serving.tokenizers or 0)  # one keeps no GPU busy


def test_what_is_asked_for_stays() -> None:
    serving = Serving("m", target="cuda", precision="fp32", micro_batch_tokens=100, tokenizers=1)
    assert serving == serving.settled("fp16", product_weights=1)


@pytest.mark.parametrize("target", PRECISIONS)
def test_a_precision_of_the_target_is_served_and_no_other(target: Target) -> None:
    for precision in ("fp32", "int8", "fp16", "bf16"):
        if precision in PRECISIONS[target]:
            assert precision == Serving("m", target=target, precision=precision).precision
        else:
            with pytest.raises(WrongOption, match=f"{precision} does not exist for .* {target}"):
                Serving("m", target=target, precision=precision)


def test_every_target_has_precisions() -> None:
    assert set(get_args(Target)) == set(PRECISIONS)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"target": "cuda", "precision": "int8"},
            "--precision int8 does not exist for --target cuda: it has fp16, bf16 or fp32, and "
            "int8 is for cpu",
        ),
        (
            {"precision": "fp16"},
            "--precision fp16 does not exist for --target cpu: it has fp32 or int8, and fp16 is "
            "for cuda or tensorrt",
        ),
        ({"target": "cuda", "threads": 2}, "--threads is for --target cpu: "),
        ({"target": "tensorrt", "spinning": False}, "--no-spinning is for --target cpu: "),
        ({"gpus": (0,)}, "--gpus is for --target cuda or tensorrt"),
        ({"target": "cuda", "gpus": (1, 1)}, "--gpus 1,1: it must be different numbers from 0 to"),
        ({"target": "cuda", "gpus": (64,)}, "--gpus 64: "),
        ({"target": "cuda", "gpus": (-1,)}, "--gpus -1: "),
    ],
)
def test_what_does_not_go_together_is_one_sentence(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(WrongOption) as caught:
        Serving("m", **asked)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("option", LIMITS)
def test_the_bounds_hold_without_a_command_line_too(option: str) -> None:
    least, most = LIMITS[option]
    for number in (least, most):
        assert number == getattr(Serving("m", **{option: number}), option)  # type: ignore[arg-type]
    for number in (least - 1, most + 1):
        with pytest.raises(WrongOption, match=f"{number}: it must be {least} to {most}"):
            Serving("m", **{option: number})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("product_weights", "tokens"),
    [
        (0, 16_384),  # a static embedding
        (10_600_000, 16_384),  # MiniLM
        (85_000_000, 11_776),  # BERT-base
        (302_000_000, 4096),  # BERT-large
        (8_000_000_000, 4096),
    ],
)
def test_a_micro_batch_takes_about_as_long_whatever_the_model(
    product_weights: int, tokens: int
) -> None:
    assert tokens == micro_batch_tokens(product_weights)


def test_the_tokens_of_a_micro_batch_are_what_kernels_like() -> None:
    least, most = GPU_TOKENS
    for product_weights in range(1_000_000, 400_000_000, 7_654_321):
        tokens = micro_batch_tokens(product_weights)
        assert least <= tokens <= most
        assert 0 == tokens % 64
