"""The matrices of a recurrent cell: one for the input and one for the state, or one for both."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from memcore.contracts.layer import Layer, Operand
from memcore.nn.gating import CellWeights, Gating
from memcore.ops.checks import require_same_dtype

Rows = Callable[[Tensor], Tensor]


class Cell(Protocol):
    """The products of a recurrent cell during one pass."""

    def inputs(self, x: Tensor) -> Tensor:
        """What is known of inputs [n, inputs] of all steps before the first one, [n, ...]."""

    def sums(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """What the gates take, of one step of `inputs` and of the hidden state, [n, ...] each."""


class Arrays(Protocol):
    """How the weights of a recurrent cell lie on arrays."""

    def operands(self, gating: Gating, weights: CellWeights, suffix: str) -> dict[str, Operand]:
        """The matrices of a cell whose parameters have this suffix."""

    def cell(self, layer: Layer, gating: Gating, suffix: str) -> Cell:
        """The products of that cell during one pass."""


class Apart:
    """A matrix for the input and one for the state, each with converters and ranges of its own."""

    def operands(self, gating: Gating, weights: CellWeights, suffix: str) -> dict[str, Operand]:
        del gating
        return {
            f"weight_ih{suffix}": Operand(weights.ih.unsqueeze(0), weights.bias_ih),
            f"weight_hh{suffix}": Operand(weights.hh.unsqueeze(0), weights.bias_hh),
        }

    def cell(self, layer: Layer, gating: Gating, suffix: str) -> Cell:
        return _ApartCell(layer, gating, suffix)


class _ApartCell:
    def __init__(self, layer: Layer, gating: Gating, suffix: str) -> None:
        self._gating = gating
        self._of_input = rows(layer, f"weight_ih{suffix}")
        self._of_state = rows(layer, f"weight_hh{suffix}")

    def inputs(self, x: Tensor) -> Tensor:
        return self._of_input(x)

    def sums(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        return self._gating.sums(x, self._of_state(h))


class Joint:
    """One matrix for input and state, whose DACs have a range for each."""

    def operands(self, gating: Gating, weights: CellWeights, suffix: str) -> dict[str, Operand]:
        return {f"weight{suffix}": gating.joint(weights)}

    def cell(self, layer: Layer, gating: Gating, suffix: str) -> Cell:
        return _JointCell(layer, gating, suffix)


class _JointCell:
    def __init__(self, layer: Layer, gating: Gating, suffix: str) -> None:
        self._blocks = gating.blocks + gating.apart
        self._of_both = rows(layer, f"weight{suffix}")

    def inputs(self, x: Tensor) -> Tensor:
        return x

    def sums(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        return self._of_both(torch.cat([x, h], dim=-1)).chunk(self._blocks, -1)


def both_parts(layer: Layer, name: str) -> tuple[int, ...]:
    """The numbers of inputs and of states of a matrix that holds both."""
    suffix = name.removeprefix("weight")
    if suffix.startswith("_hr"):  # of the projection, which reads the state alone
        return ()
    both = (f"weight_ih{suffix}", f"weight_hh{suffix}")
    return tuple(layer.get_parameter(each).shape[1] for each in both)


def require_states(x: Tensor, states: tuple[Tensor, ...]) -> None:
    """Refuse states of another dtype than the inputs, unless autocast converts them.

    Raises:
        ArgumentTypeError: one has another dtype.
    """
    for each in states:
        if each.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            require_same_dtype("hx", each, "the input", x)


def rows(layer: Layer, name: str) -> Rows:
    """The product with a matrix of one group: from [n, inputs] to [n, outputs]."""
    product = layer.product(name)
    return lambda x: product(x.unsqueeze(1)).squeeze(1)
