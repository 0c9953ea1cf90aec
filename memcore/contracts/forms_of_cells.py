"""Forms of `Stage.PROGRAM` that one kernel applies to the cells, together with `Affine`."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from memcore._tensor import as_tensor
from memcore.contracts.forms import Affine
from memcore.contracts.parameters import Parameter
from memcore.ops.cell_forms import CellForm, Kind, shared_out, through


class Passive(Affine):
    """`g * gain + offset`, at least 0: no cell conducts less than nothing."""

    def forward(self, g: Tensor) -> Tensor:
        """Conductances, of the shape of g."""
        return super().forward(g).clamp(min=0)


class NearestLevel(nn.Module):
    """The nearest of equidistant levels between the two ends of a window, in g or in 1/g.

    Args:
        first: one end, S, or 1/S of the resistances; one number, or one for each cell.
        last: the other end.
        states: number of levels, both ends included.
        inverse: whether the levels are resistances.
    """

    first: Tensor
    span: Tensor

    def __init__(
        self, first: Parameter, last: Parameter, states: int, *, inverse: bool = False
    ) -> None:
        super().__init__()
        first, last = as_tensor(first), as_tensor(last)
        self.register_buffer("first", first)
        self.register_buffer("span", last - first)
        self.steps = states - 1
        self.inverse = inverse

    def forward(self, g: Tensor) -> Tensor:
        """Conductances of the levels, of the shape of g."""
        at_once = through(g, lowered(self))
        if at_once is not None:
            return at_once
        x = 1 / g if self.inverse else g
        # A window without width has one level; 0/0 would make it NaN.
        position = (x - self.first).div_(self.span).nan_to_num_(0.0).clamp_(0, 1)
        position.mul_(self.steps).round_().div_(self.steps)
        x = position.mul_(self.span).add_(self.first)
        return x.reciprocal_() if self.inverse else x


class Held(nn.Module):
    """Cells that are stuck, whatever they should hold.

    Args:
        at: S, what these cells conduct, NaN for all others, [arrays, rows, cols].
    """

    at: Tensor

    def __init__(self, at: Tensor) -> None:
        super().__init__()
        self.register_buffer("at", at)

    def forward(self, g: Tensor) -> Tensor:
        """Conductances of all cells, of the shape of g."""
        at_once = through(g, lowered(self))
        if at_once is not None:
            return at_once
        return torch.where(self.at.isnan(), g, self.at.to(g.dtype))


def held_by_share(draw: Tensor, shares: Sequence[tuple[float, Parameter]]) -> Tensor:
    """What cells are held at, where a share of them is at each of some conductances.

    Args:
        draw: a uniform number for each cell, which decides; the result may take its memory.
        shares: of all cells, together at most 1, and the conductance, S, of those.

    Returns:
        S, NaN for cells that are not held, of the shape of `draw`.
    """
    levels = [(share, as_tensor(level, draw.dtype)) for share, level in shares if share]
    return shared_out(draw, levels) if levels else torch.full_like(draw, torch.nan)


def lowered(form: nn.Module) -> tuple[CellForm, ...]:
    """A form as the kernel takes it; () if it knows no such form."""
    if isinstance(form, Affine) and type(form) in (Affine, Passive):
        line = CellForm("affine", form.gain, form.offset)
        return (
            (line,)
            if type(form) is Affine
            else (line, CellForm("at_least", torch.zeros(1, device="cpu")))
        )
    if type(form) is NearestLevel:
        kind: Kind = "inverse_levels" if form.inverse else "levels"
        return (CellForm(kind, form.first, form.span, float(form.steps)),)
    return (CellForm("held", form.at),) if type(form) is Held else ()
