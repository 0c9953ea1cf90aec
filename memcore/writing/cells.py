"""Cells while they are written: their parameters, their state, and draws that stay their own."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context, Programmed


def of_cells(ctx: Context, cells: Tensor, *names: str | int) -> Context:
    """A context for the `step` of some cells, whose draws are those of the numbered cells.

    Args:
        ctx: of this writing, usually `ctx.child("write", ctx.writes)`.
        cells: int64, numbers of the cells in the arrays, in the order of the states.
        names: of what is drawn, such as `"pulse", 3`: other names give other draws.

    Examples:
        >>> from memcore.testing.cases import context
        >>> from memcore.writing import of_cells
        >>> ctx = of_cells(context(), torch.tensor([2, 5]), "pulse", 3)
        >>> ctx.random.normal((2,)).shape
        torch.Size([2])
    """
    return ctx.drawing(ctx.random.child(*names).of_cells(cells.flatten()))


class CellModel(Protocol):
    """What a programmer asks of some cells: a device, of which some cells may be stuck."""

    def conductance(self, state: Tensor) -> Tensor:
        """Conductance [*cells] in S of cells in a state [k, *cells]."""

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        """Current [*cells] in A at voltages [*cells] in V."""

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        """State [k, *cells] after `dt` s at voltages [*cells] in V."""


@dataclass(frozen=True)
class WithStuck:
    """Cells of which some do not move.

    Args:
        device: the model of all the others.
        at: conductance of each stuck cell in S, NaN for the others, [*cells].

    Examples:
        >>> from memcore.writing import WithStuck
        >>> at = torch.tensor([float("nan"), 2e-4])
        >>> cells = WithStuck(memcore.devices["ideal"](), at)
        >>> f"{float(cells.conductance(torch.zeros(1, 2))[1]):.0e} S"
        '2e-04 S'
    """

    device: Memristor
    at: Tensor

    def conductance(self, state: Tensor) -> Tensor:
        """Conductance [*cells] in S; stuck cells have theirs, whatever their state."""
        return self._unless(self.device.conductance(state), self.at)

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        """Current [*cells] in A; stuck cells are ohmic."""
        stuck = self.at.nan_to_num(0.0) * voltage  # NaN would spread through the gradient
        return self._unless(self.device.current(state, voltage), stuck)

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        """State [k, *cells] after `dt` s; that of stuck cells stays."""
        return self._unless(self.device.step(state, voltage, dt, ctx), state)

    def _unless(self, moving: Tensor, stuck: Tensor) -> Tensor:
        return torch.where(self.at.isnan(), moving, stuck.to(moving.dtype))


class CellParameters:
    """The parameters that differ between the cells of an array, ready to pick some cells.

    Args:
        array: with the cells drawn.
        shape: how the cells are laid out here, with as many elements as the array has cells;
            cells are picked along the last dimension.

    Examples:
        >>> from memcore.testing.cases import array
        >>> from memcore.writing import CellParameters
        >>> info = array(arrays=1, rows=4, cols=3)
        >>> some = CellParameters(info, (12,)).pick(torch.tensor([0, 5]))
        >>> some.conductance(torch.zeros(1, 2)).shape
        torch.Size([2])
    """

    def __init__(self, array: ArrayInfo, shape: Sequence[int]) -> None:
        self.device = array.device
        self.values = {
            name: value.expand(array.shape).reshape(tuple(shape))
            for name, value in _drawn(array).items()
        }
        self.stuck = None if array.stuck is None else array.stuck.reshape(tuple(shape))

    def pick(self, cells: Tensor | slice) -> CellModel:
        """The model of some cells, with their parameters and with what is stuck among them."""
        device = self.device
        if self.values:
            picked = {name: value[..., cells] for name, value in self.values.items()}
            device = dataclasses.replace(device, **picked)  # type: ignore[type-var]
        return device if self.stuck is None else WithStuck(device, self.stuck[..., cells])


def _drawn(array: ArrayInfo) -> dict[str, Tensor]:
    """Tensors that hold a value per cell; others are tables, which all cells share."""
    nominal = array.nominal
    return {
        entry.name: value
        for entry in dataclasses.fields(array.device)  # type: ignore[arg-type]
        if isinstance(value := getattr(array.device, entry.name), Tensor)
        and (value.dim() == len(array.shape) or value is not getattr(nominal, entry.name))
    }


def beginning(array: ArrayInfo, like: Tensor, ctx: Context) -> Tensor:
    """The state in which writing finds the cells: that of `array.present`, or that of fresh cells.

    Args:
        array: the cells.
        like: a tensor with the dtype and the device of the result.
        ctx: as `Programmer.program` gets it.

    Returns:
        [k, arrays, rows, cols].

    Examples:
        >>> from memcore.testing.cases import array, context
        >>> from memcore.writing import beginning
        >>> info = array(arrays=2, rows=4, cols=3)
        >>> beginning(info, torch.zeros(2, 4, 3), context()).shape
        torch.Size([1, 2, 4, 3])
    """
    if array.present is None:
        state = array.device.initial_state(array.shape, ctx.child("initial"))
    else:
        state = array.device.state_of(array.present).clone()
    return state.to(like).expand(-1, *array.shape)


def report(array: ArrayInfo, target: Tensor, state: Tensor, **cells: Tensor) -> Programmed:
    """What a programmer returns, from tensors in which the cells are numbered in C order.

    Args:
        array: the cells.
        target: [arrays, rows, cols] in S; errors are counted from it.
        state: [k, ...], one element per cell and state variable.
        cells: fields of `Programmed` with one element per cell, `conductance` among them.

    Examples:
        >>> from memcore.testing.cases import array
        >>> from memcore.writing import report
        >>> info, g = array(arrays=1, rows=2, cols=2), torch.full((4,), 2e-5)
        >>> report(info, torch.full((1, 2, 2), 1e-5), g[None], conductance=g).error[0]
        tensor([[1.0000e-05, 1.0000e-05],
                [1.0000e-05, 1.0000e-05]])
    """
    shaped = {name: value.view(array.shape) for name, value in cells.items()}
    error = shaped["conductance"] - target
    return Programmed(**shaped, error=error, state=state.view(-1, *array.shape))
