"""Some of the cells of an array: their parameters, and draws that stay their own."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from memcore import ArrayInfo, Context, Memristor, Stream


@dataclass(frozen=True)
class CellStream(Stream):
    """The draws of some cells, the same whichever other cells are asked along with them.

    Args:
        cells: int64 [n], numbers of the cells in the arrays.
    """

    cells: Tensor | None = field(default=None, compare=False, repr=False)

    def child(self, *names: str | int) -> "CellStream":
        return CellStream(self.seed, (*self.path, *map(str, names)), self.cells)

    def uniform(self, shape: Sequence[int], **options: Any) -> Tensor:
        return super().uniform(shape, **self._of_cells(shape, options))

    def normal(self, shape: Sequence[int], **options: Any) -> Tensor:
        return super().normal(shape, **self._of_cells(shape, options))

    def bernoulli(
        self, p: float, shape: Sequence[int], *, device: torch.device | str | None = None
    ) -> Tensor:
        return self.uniform(shape, device=device) < p

    def _of_cells(self, shape: Sequence[int], options: dict[str, Any]) -> dict[str, Any]:
        if self.cells is None or math.prod(shape) != self.cells.numel():
            return options
        return {"elements": self.cells, **options}


def of_cells(ctx: Context, cells: Tensor, *names: str | int) -> Context:
    """A context whose draws are those of the numbered cells."""
    random = CellStream(ctx.random.seed, (*ctx.random.path, *map(str, names)), cells.flatten())
    return dataclasses.replace(ctx, random=random)


class CellParameters:
    """The parameters that differ between the cells of an array, ready to pick some cells.

    Args:
        array: with the cells drawn.
        shape: how the cells are laid out here, of as many elements as the array has.
    """

    def __init__(self, array: ArrayInfo, shape: Sequence[int]) -> None:
        self.device = array.device
        self.values = {
            name: value.expand(array.shape).reshape(tuple(shape))
            for name, value in _drawn(array).items()
        }

    def pick(self, cells: Tensor | slice) -> Memristor:
        """The device of some cells, chosen along the last dimension."""
        if not self.values:
            return self.device
        picked = {name: value[..., cells] for name, value in self.values.items()}
        return dataclasses.replace(self.device, **picked)  # type: ignore[type-var]


def _drawn(array: ArrayInfo) -> dict[str, Tensor]:
    """Tensors that hold a value per cell; others are tables, which all cells share."""
    nominal = array.nominal
    return {
        entry.name: value
        for entry in dataclasses.fields(array.device)  # type: ignore[arg-type]
        if isinstance(value := getattr(array.device, entry.name), Tensor)
        and (value.dim() == len(array.shape) or value is not getattr(nominal, entry.name))
    }


def read_noise(g: Tensor, relative: float, std: float, ctx: Context, cells: Tensor) -> Tensor:
    """Conductances as one read finds them, `sigma^2 = std^2 + (relative g)^2`."""
    if not relative and not std:
        return g
    stream = CellStream(ctx.random.seed, ctx.random.path, cells.flatten())
    draw = stream.normal(g.shape, device=g.device, dtype=g.dtype)
    return g + (std**2 + (relative * g) ** 2) ** 0.5 * draw
