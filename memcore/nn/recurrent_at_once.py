"""One direction of a recurrent layer by torch's own kernel, where its reads are products."""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from memcore.contracts.layer import Layer, Operand
from memcore.nn.gating import State
from memcore.nn.matrix import Matrix
from memcore.nn.walk import matrices
from memcore.ops._library import is_plain

#: By the name that torch has for it, `mode` of its recurrent layers.
_KERNELS: Final[dict[str, Callable[..., tuple[Tensor, ...]]]] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
}


def read_at_once(
    layer: Layer, mode: str, suffix: str, x: Tensor, sizes: list[int], state: State
) -> tuple[Tensor, State] | None:
    """Outputs [n, size] of all steps, and the state after the last one.

    torch's kernel takes what the cells stand for: it packs the weights once for all steps, and
    computes the gates in one pass. There are no gradients.

    Args:
        layer: whose matrices `weight_ih` and `weight_hh` the products are with.
        mode: of the layer, as torch calls it.
        suffix: of the parameters of this direction.
        x: inputs, those of all sequences at the first step, then at the second, ..., [n, inputs].
        sizes: how many sequences there are at each step, fewer and fewer.
        state: before the first step, [sequences, size] each.

    Returns:
        None where reads have converters, noise or anything else, or somebody follows them.
    """
    backwards, is_even = suffix.endswith("_reverse"), sizes[0] == sizes[-1]
    if (backwards and not is_even) or not all(map(is_plain, (x, *state))) or not x.numel():
        return None
    weights = _weights(layer, suffix, x, *state)
    if weights is None:
        return None
    before = tuple(each.unsqueeze(0) for each in state)
    hx: Any = before if len(before) > 1 else before[0]
    rest = (weights, len(weights) > 2, 1, 0.0, False, False)
    if not is_even:
        y, *after = _KERNELS[mode](x, torch.tensor(sizes, device="cpu"), hx, *rest)
        return y, tuple(each.squeeze(0) for each in after)
    steps = x.view(len(sizes), sizes[0], -1)
    y, *after = _KERNELS[mode](steps.flip(0) if backwards else steps, hx, *rest, False)
    y = y.flip(0) if backwards else y
    return y.flatten(0, 1), tuple(each.squeeze(0) for each in after)


def _weights(layer: Layer, suffix: str, *given: Tensor) -> list[Tensor] | None:
    """Both weights and, if there are any, both biases of exact reads without gradients."""
    wanted = (*given, *layer.parameters())
    if torch.is_grad_enabled() and any(each.requires_grad for each in wanted):
        return None
    if torch.is_autocast_enabled("cpu"):
        return None
    every, operands = matrices(layer), layer.operands()
    exact: list[Operand] = []
    for name in (f"weight_ih{suffix}", f"weight_hh{suffix}"):
        matrix = every.get(name)
        if matrix is None or not _is_product(matrix):
            return None
        exact.append(matrix.exact(operands[name]))
    weights = [each.weight[0].detach().contiguous() for each in exact]
    biases = [each.bias.detach().contiguous() for each in exact if each.bias is not None]
    return [*weights, *biases] if all(map(is_plain, (*weights, *biases))) else None


def _is_product(matrix: Matrix) -> bool:
    """Whether reads are products with the inputs themselves, and nobody looks at these."""
    inputs = matrix.crossbar.input
    hooks = (*inputs._forward_pre_hooks, *inputs._forward_hooks)
    return matrix.reads_exactly and matrix.crossbar.config.dac is None and not hooks
