"""Biases, which are added to what was read."""

from torch import Tensor


def with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    """Outputs [n, groups, outputs] and a bias of as many values as a read has; None for none."""
    return y if bias is None else y + bias.view(y.shape[1:])
