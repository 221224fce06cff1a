"""Where an architecture's attention becomes the packed one, and transformers' own again.

Most architectures call transformers' registry of attention functions, and a name is all that is
changed. Those with relative positions also make a bias of (S, S) numbers a head, which depends on
the distance of two tokens alone: it is computed once, as a table over distances.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from export.errors import UnsupportedModel
from export.graph import packed

MPNET_REACH = 128  # from there on all distances share one bias; an argument's default in MPNet
RELATIVE = frozenset(("jina_bert", "mpnet", "mt5", "t5", "umt5"))  # may need no position_ids


@contextmanager
def packed_attention(transformer: PreTrainedModel) -> Iterator[None]:
    """While it is entered, the transformer is called with one flat sequence and `seq_lens`.

    Raises: UnsupportedModel if its attention cannot be exchanged.
    """
    packed.register()
    own = transformer.config._attn_implementation
    with ExitStack() as changes, torch.no_grad():
        if transformer.config.model_type == "mpnet":
            _exchange_mpnet(transformer, changes)
        else:
            _set_attention(transformer, packed.NAME)
            changes.callback(transformer.set_attn_implementation, own)
        for module in transformer.modules():
            if getattr(module, "has_relative_attention_bias", False):
                _exchange_t5(module, changes)
            if "dynamic" in str(getattr(module, "rope_type", "")):
                _still(module, changes)
        yield


def _replace(changes: ExitStack, module: nn.Module, name: str, method: Any) -> None:
    """Put a method before the one of a module's class until the changes are undone."""
    setattr(module, name, method)
    changes.callback(delattr, module, name)


def _still(rotary: Any, changes: ExitStack) -> None:
    """Angles that grow above the original length, where texts end, are the usual ones up to it.

    Whether they grow is asked of the positions, which no graph can.
    """
    own = rotary.rope_type
    if isinstance(own, dict):  # of each kind of layer
        still: Any = {name: "default" if own[name] == "dynamic" else own[name] for name in own}
    else:
        still = "default"
    rotary.rope_type = still
    changes.callback(setattr, rotary, "rope_type", own)


def _set_attention(transformer: PreTrainedModel, name: str) -> None:
    transformer.set_attn_implementation(name)
    if transformer.config._attn_implementation != name:
        raise UnsupportedModel(
            f"config.json: {transformer.config.model_type} does not call transformers' attention "
            "interface, so its texts cannot be kept apart"
        )


def _table(compute: Callable[[int], Tensor], reach: int) -> Tensor:
    """Biases of the distances -R to R: (heads, 2 R + 1).

    compute  the biases (1, heads, S, S) of S tokens
    """
    return compute(2 * reach + 1)[0, :, reach].contiguous()


def _exchange_t5(attention: Any, changes: ExitStack) -> None:
    """The first attention module of a stack, or each of its own, computes a bias for all texts."""
    compute = attention.compute_bias
    if hasattr(attention, "table"):  # of distances without an end to their bias
        table = attention.table()
    else:
        table = _table(lambda size: compute(size, size), attention.relative_attention_max_distance)
    _replace(changes, attention, "compute_bias", lambda *_, **__: table)


def _exchange_mpnet(transformer: PreTrainedModel, changes: ExitStack) -> None:
    """MPNet computes its attention in a module of its own, which is told nothing of the call."""
    encoder: Any = transformer.encoder
    table = _table(lambda size: encoder.compute_position_bias(torch.zeros(1, size)), MPNET_REACH)
    told: dict[str, Any] = {}

    def tell(_: nn.Module, __: Any, given: dict[str, Any]) -> None:
        told["seq_lens"] = given["seq_lens"]

    changes.callback(transformer.register_forward_pre_hook(tell, with_kwargs=True).remove)
    _replace(changes, encoder, "compute_position_bias", lambda *_, **__: table)
    for layer in encoder.layer:
        attention = layer.attention.attn
        _replace(changes, attention, "forward", _mpnet_forward(attention, told))


def _mpnet_forward(attention: Any, told: dict[str, Any]) -> Any:
    """What takes the place of `MPNetSelfAttention.forward`."""

    def forward(states: Tensor, _: Any = None, table: Any = None, **__: Any) -> tuple[Tensor]:
        shape = (*states.shape[:-1], -1, attention.attention_head_size)
        query, key, value = (
            layer(states).view(shape).transpose(1, 2)
            for layer in (attention.q, attention.k, attention.v)
        )
        attended, _none = packed.attend_packed(
            attention, query, key, value, None, position_bias=table, **told
        )
        return (attention.o(attended.flatten(2)),)

    return forward


@contextmanager
def every_layer(kind: str, layers: int) -> Iterator[None]:
    """While it is entered, the attention of every layer is to come through the seam, once.

    Raises: UnsupportedModel if it did not.
    """
    with _AttentionCounter() as counter:
        yield
    if counter.calls != layers:
        raise UnsupportedModel(
            f"config.json: {kind} calls transformers' attention interface {counter.calls} times in "
            f"{layers} layers, so its texts cannot be kept apart"
        )


class _AttentionCounter(TorchDispatchMode):
    """Counts `packed::attention` while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's is not annotated
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += func is torch.ops.packed.attention.default
        return func(*args, **(kwargs or {}))
