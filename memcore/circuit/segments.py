"""The segments of the wires of arrays, turned so that drivers are left and sense nodes below."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from memcore.contracts.units import MOST_SIEMENS, too_conductive
from memcore.contracts.wires import Wires
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError
from memcore.ops.checks import require_dense, require_same_device, require_same_dtype


def canonical(g: Tensor, wires: Wires) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Return g and all segments, turned so that the drivers are left and the sense nodes below.

    The resistances of drivers and sense nodes are in those of the segments next to them; the far
    end's come last along a word line and first along a bit line. The list has the dimensions that
    were reversed.
    """
    straight, word, bit, flips = lines(g, wires)
    return straight, word.all(g), bit.all(g), flips


class Segments(NamedTuple):
    """The segments of all word lines or all bit lines; a number stands for all of them."""

    shape: tuple[int, ...]  #: [..., rows, cols (+ 1)] or [..., rows (+ 1), cols]
    inner: float | Tensor  #: of this shape, except for the segments at the ends
    ends: dict[int, float | Tensor]  #: [..., lines], by their place along the line; near end first
    dim: int  #: along the line

    def all(self, like: Tensor) -> Tensor:
        """Return a tensor of all segments."""
        if isinstance(self.inner, Tensor):
            out = self.inner.clone(memory_format=torch.contiguous_format)
        else:
            out = like.new_full(self.shape, self.inner)
        for at, ohm in self.ends.items():
            if isinstance(ohm, Tensor):
                out.select(self.dim, at).copy_(ohm)
            elif isinstance(self.inner, Tensor) or ohm != self.inner:
                out.select(self.dim, at).fill_(ohm)
        return out


def lines(g: Tensor, wires: Wires) -> tuple[Tensor, Segments, Segments, list[int]]:
    """Return what `canonical` does, without a tensor where a number says it all."""
    check_conductances(g)
    check_wires(wires)
    *batch, rows, cols = g.shape
    ends = ((-1, wires.drive == "right"), (-2, wires.sense_at == "top"))
    flips = [dim for dim, flip in ends if flip]
    turned = [[-1] if dim in flips else [] for dim in (-2, -1)]
    far = wires.drive == "both", wires.sense_at == "both"
    shapes = (*batch, rows, cols + far[0]), (*batch, rows + far[1], cols)
    word = _spread("word_line", wires.word_line, g, shapes[0], flips)
    bit = _spread("bit_line", wires.bit_line, g, shapes[1], flips)
    driver = _spread("driver", wires.driver, g, (*batch, rows), turned[0])
    sense = _spread("sense", wires.sense, g, (*batch, cols), turned[1])
    at = (0, -1)[: 1 + far[0]], (-1, 0)[: 1 + far[1]]
    return (
        g.flip(flips) if flips else g,
        Segments(shapes[0], word, _ends(word, wires.first, driver, at[0], -1), -1),
        Segments(shapes[1], bit, _ends(bit, wires.last, sense, at[1], -2), -2),
        flips,
    )


def check_wires(wires: object) -> None:
    """Refuse an object that is no `Wires`."""
    if not isinstance(wires, Wires):
        raise ArgumentTypeError(
            f"wires is a {type(wires).__name__}; expected Wires: Wires(word_line=..., "
            "bit_line=...) with the ohm of a segment"
        )


def check_cells(g: Tensor) -> None:
    """Refuse an object that is no array [..., rows, cols], whatever its entries."""
    if not isinstance(g, Tensor):
        raise ArgumentTypeError(
            f"g is a {type(g).__name__}; expected a tensor: use torch.as_tensor(g)"
        )
    require_dense(g)
    if g.dtype not in (torch.float32, torch.float64):
        raise ArgumentTypeError(f"g is {g.dtype}; expected float32 or float64: use g.float()")
    if g.dim() < 2 or 0 in g.shape[-2:]:
        raise ShapeError(f"g has shape {list(g.shape)}; expected [..., rows, cols], not empty")


def check_conductances(g: Tensor) -> None:
    """Refuse an object that is no array [..., rows, cols] of conductances in siemens."""
    check_cells(g)
    if torch.compiler.is_compiling() or g.is_meta or not g.numel():
        return
    require_siemens("g", g)


def require_siemens(name: str, g: Tensor) -> None:
    """Refuse conductances that are none: negative or not finite, or resistances in ohm.

    Raises:
        ConfigError: saying which, and the way out.
    """
    if not g.numel():
        return
    lowest, highest = map(float, g.detach().aminmax())  # NaN if there is one
    if not 0 <= lowest <= highest < math.inf:
        raise ConfigError(
            f"{name} has negative entries or NaN, or infinite ones (lowest {lowest:.3g}, highest "
            f"{highest:.3g}); expected siemens, at least 0 and finite"
        )
    if highest > MOST_SIEMENS:
        raise ConfigError(too_conductive(name, highest))


def _spread(
    name: str, value: float | Tensor, g: Tensor, shape: tuple[int, ...], flips: list[int]
) -> float | Tensor:
    if not isinstance(value, Tensor):
        return value
    require_same_dtype(name, value, "g", g)
    require_same_device(name, value, "g", g)
    try:
        spread = value.expand(shape)
    except RuntimeError:
        raise ShapeError(
            f"{name} has shape {list(value.shape)}; expected one that broadcasts to {list(shape)}"
        ) from None
    return spread.flip(flips) if flips else spread


def _ends(
    inner: float | Tensor, keep: bool, series: float | Tensor, at: tuple[int, ...], dim: int
) -> dict[int, float | Tensor]:
    """The segments at the ends of lines, with the resistances in series with them."""
    if not keep:
        return dict.fromkeys(at, series)
    return {k: (inner.select(dim, k) if isinstance(inner, Tensor) else inner) + series for k in at}
