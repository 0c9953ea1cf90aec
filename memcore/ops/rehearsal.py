"""Cells in the order of the weights that a training writes, and reads of them, by one kernel.

The kernel draws and changes cells block by block and multiplies the inputs with them at once, so
that nothing as large as the weights has to be in memory. `reference` writes the same cells with
PyTorch, and the readers of `memcore.crossbar` read them tile by tile.
"""

import math
from array import array
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from memcore import native
from memcore.ops import philox
from memcore.ops._library import address

Kind = Literal["log_factor", "factor", "offset", "nearest", "nearest_inverse"]
_KINDS: tuple[Kind, ...] = get_args(Kind)


class CellStep(NamedTuple):
    """One thing that happens to the conductance g of each cell, with a normal draw z of its own.

    | kind | what |
    |---|---|
    | `log_factor` | g times `exp(a z) b`, the factor within `[least, most]` |
    | `factor` | g times `a z + b`, likewise |
    | `offset` | `g + a z + b` within `[least, most]` |
    | `nearest` | the nearest of the levels `low + k a / b`, k = 0, ..., b |
    | `nearest_inverse` | the same of 1 / g |

    Args:
        kind: which of them.
        a: as the table says.
        b: as the table says.
        low: bounds of z, beyond which the next draw of the same cell takes its place.
        high: likewise.
        least: as the table says.
        most: as the table says.
    """

    kind: Kind
    a: float
    b: float
    low: float = -math.inf
    high: float = math.inf
    least: float = -math.inf
    most: float = math.inf


#: For each step, of the draws for the cells that carry weights, and of those for the others.
Keys = Sequence[tuple[int, ...]]


class Steps:
    """Steps, as the kernel takes them too."""

    def __init__(self, steps: Sequence[CellStep]) -> None:
        self.each = tuple(steps)
        self.kinds = torch.tensor(
            [_KINDS.index(step.kind) for step in steps], dtype=torch.int64, device="cpu"
        )
        self.numbers = torch.tensor([step[1:] for step in steps], dtype=torch.float32, device="cpu")


class Writing(NamedTuple):
    """How weights w become pairs of cells, and these become weights again.

    The cell of the sign of w is written with `min(lowest + min(|w| slope, span), highest)`, the
    other one with `lowest`; then come the steps. A pair stands for `gain` times the difference; the
    variance of a read is the sum of `(relative g)^2 + constant` over both.

    A cell that carries nothing is not drawn where it ends up in the same state whatever is drawn.

    Args:
        weight: [groups, outputs, inputs], contiguous float32 for the kernel.
        slope: S for a weight of 1, [1] or [outputs].
        gain: weight for one siemens, [1] or [outputs].
        numbers: `lowest`, `span` and `highest` in S, `relative`, and `constant` in S^2.
        steps: what happens to the cells.
        keys: of their draws.
    """

    weight: Tensor
    slope: Tensor
    gain: Tensor
    numbers: tuple[float, float, float, float, float]
    steps: Steps
    keys: Keys

    @property
    def is_noisy(self) -> bool:
        """Whether a read draws anything."""
        return any(self.numbers[3:])


class Known(NamedTuple):
    """Cells that are written already.

    Args:
        folded: what they stand for, [groups, outputs, inputs].
        variance: S^2 of a read, the same; None without noise.
    """

    folded: Tensor
    variance: Tensor | None


class Terms(NamedTuple):
    """How cells in the order of the weights are read; numbers as `crossbar_read` has them.

    Args:
        dac: inverse step, lowest and highest code, [3]; an inverse step of 0 means no DAC.
        factor: steps of the ADC for a weight and a step of the DAC, [1] or [outputs].
        square: steps^2 for a variance, [1] or [outputs].
        scale: value of one step of the ADC, [1] or [outputs].
        tile_rows: inputs whose current is converted at once.
        lo: lowest code.
        hi: highest code; lower than `lo` means no ADC.
        key: of the draws of a read.
        narrow: whether squares of inputs and variances are rounded as by `crossbar_read.narrow`.
    """

    dac: Tensor
    factor: Tensor
    square: Tensor
    scale: Tensor
    tile_rows: int
    lo: float
    hi: float
    key: int
    narrow: bool = False


def write(writing: Writing) -> Known | None:
    """Write cells; None if what they stand for is not finite."""
    folded = torch.empty_like(writing.weight)
    variance = torch.empty_like(folded) if writing.is_noisy else None
    is_finite = _call(writing, None, None, None, folded, variance, None)
    return Known(folded, variance) if is_finite else None


def read(
    cells: Writing | Known,
    terms: Terms,
    x: Tensor,
    reads: Tensor | None,
    *,
    folded: Tensor | None = None,
) -> Tensor | None:
    """Outputs [n, groups, outputs] of inputs; None if what the cells stand for is not finite.

    Element `(g * tiles + t) * outputs + o` of a read is the draw of output o in tile t. The result
    is that of `crossbar_read` with the same cells, to the bit.

    Args:
        cells: what is read; what is not written yet is written on the way.
        terms: converters and units.
        x: [n, groups, inputs], float32.
        reads: numbers of the reads, int64 [n], if there is noise.
        folded: takes what the cells stand for, if they are written on the way.
    """
    groups, outputs, _ = (cells.weight if isinstance(cells, Writing) else cells.folded).shape
    out = x.new_empty((x.shape[0], groups, outputs))
    return out if _call(cells, terms, x.contiguous(), reads, folded, None, out) else None


def _call(
    cells: Writing | Known,
    terms: Terms | None,
    x: Tensor | None,
    reads: Tensor | None,
    folded: Tensor | None,
    variance: Tensor | None,
    out: Tensor | None,
) -> bool:
    written, numbers, kept = _written(cells)
    n, key, tile_rows = 0, 0, (cells[0].shape[2])
    converters: tuple[int, ...] = (0, 0, 0, 0, 0, 1, 1, 1)
    ends, rounds = (0.0, 0.0), False
    if terms is not None and x is not None:
        n, key, tile_rows, ends = x.shape[0], terms.key, terms.tile_rows, (terms.lo, terms.hi)
        rounds = terms.narrow
        units = (terms.factor, terms.square, terms.scale)
        converters = (*map(address, (x, terms.dac, *units)), *(each.shape[0] for each in units))
    known = (cells.folded, cells.variance) if isinstance(cells, Known) else (None, None)
    integers = (
        *written,
        *map(address, (*known, folded, variance)),
        *converters,
        address(reads),
        key,
        n,
        tile_rows,
        rounds,
        address(out),
    )
    row, floats = array("q", integers), array("f", (*numbers, *ends))
    cpu = native.cpu()
    assert cpu is not None
    is_finite: bool = cpu.rehearsed_read(row.buffer_info()[0], floats.buffer_info()[0])
    del kept
    return is_finite


def _written(
    cells: Writing | Known,
) -> tuple[tuple[int, ...], tuple[float, ...], "array[int] | None"]:
    """The first numbers of the rows that the kernel takes, and what they are addresses of."""
    if isinstance(cells, Known):
        return (*cells.folded.shape, 0, 1, 1, 0, *[0] * 6), (0.0,) * 5, None
    w, steps = cells, cells.steps
    keys = array("q", [key for pair in w.keys for key in pair])
    sizes = (len(w.keys), w.slope.shape[0], w.gain.shape[0], int(w.is_noisy))
    places = map(address, (w.weight, w.slope, w.gain, steps.kinds, steps.numbers))
    return (*w.weight.shape, *sizes, *places, keys.buffer_info()[0]), w.numbers, keys


def reference(writing: Writing) -> Known | None:
    """As `write`, with PyTorch on any device."""
    w, weight = writing, writing.weight
    lowest, span, highest, relative, constant = w.numbers
    carrying = lowest + (weight.abs() * w.slope.unsqueeze(1)).clamp(max=span)
    pair = carrying.clamp(max=highest), torch.full_like(weight, lowest)
    for step, keys in zip(w.steps.each, w.keys, strict=True):
        pair = _taken(step, pair[0], keys[0]), _taken(step, pair[1], keys[1])
    g, other = pair
    net = (g - other).mul_(w.gain.unsqueeze(1))
    folded = torch.where(weight < 0, -net, net)
    if not bool(folded.isfinite().all()):
        return None
    if not w.is_noisy:
        return Known(folded, None)
    variance = (relative * g).square_().add_((relative * other).square_())
    return Known(folded, variance.add_(2 * constant))


def _taken(step: CellStep, g: Tensor, key: int) -> Tensor:
    """What a step makes of conductances."""
    if step.kind in ("nearest", "nearest_inverse"):
        x = 1 / g if step.kind == "nearest_inverse" else g
        width = step.a / step.b
        position = (x - step.low) / width if width else torch.zeros_like(x)
        level = position.round_().clamp_(0, step.b).mul_(width).add_(step.low)
        return level.reciprocal_() if step.kind == "nearest_inverse" else level
    z = _drawn(step, g, key).to(g.dtype)
    if step.kind == "log_factor":
        return g * (z * step.a).exp_().mul_(step.b).clamp_(step.least, step.most)
    drawn = (z * step.a).add_(step.b)
    if step.kind == "offset":
        return (g + drawn).clamp_(step.least, step.most)
    return g * drawn.clamp_(step.least, step.most)


def _drawn(step: CellStep, g: Tensor, key: int) -> Tensor:
    """Normal draws within the bounds of a step."""
    read = torch.zeros(1, dtype=torch.int64, device=g.device)
    z = philox.normal(read, g.numel(), key).view(-1)
    outside = ((z < step.low) | (z > step.high)).nonzero().squeeze(1)
    while outside.numel():
        read = read + 1
        fresh = philox.normal(read, outside.numel(), key, outside).view(-1)
        z[outside] = fresh
        outside = outside[(fresh < step.low) | (fresh > step.high)]
    return z.view(g.shape)
