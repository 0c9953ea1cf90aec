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

    The cell of the sign of w is written with `min(start + min(|w| span / scale, most), highest)`,
    the other one with `start`; then come the steps. A pair stands for `scale / span` times the
    difference; the variance of a read is the sum of `(relative g)^2 + constant` over both.

    A cell that carries nothing is not drawn where it ends up in the same state whatever is drawn.

    Args:
        weight: [groups, outputs, inputs], contiguous float32 for the kernel.
        scale: the weight that is mapped to `start + span`, [1] or [outputs].
        numbers: `span`, `start`, `most` and `highest` in S, `relative`, and `constant` in S^2.
        steps: what happens to the cells.
        keys: of their draws.
    """

    weight: Tensor
    scale: Tensor
    numbers: tuple[float, float, float, float, float, float]
    steps: Steps
    keys: Keys

    @property
    def gain(self) -> Tensor:
        """Weight for one siemens, [1] or [outputs]."""
        return self.scale / self.numbers[0]

    @property
    def is_noisy(self) -> bool:
        """Whether a read draws anything."""
        return any(self.numbers[4:])


class Known(NamedTuple):
    """Cells that are written already.

    Args:
        folded: what they stand for, [groups, outputs, inputs].
        variance: S^2 of a read, the same; None without noise.
    """

    folded: Tensor
    variance: Tensor | None


class Codes(NamedTuple):
    """Equidistant levels: a step times `lo`, `lo + 1`, ..., `hi`.

    Args:
        step: in the unit of what is converted, [1].
        lo: lowest code.
        hi: highest code.
    """

    step: Tensor
    lo: float
    hi: float


class Terms(NamedTuple):
    """How cells in the order of the weights are read.

    Args:
        gain: weight for one siemens, [1] or [outputs].
        volts: V for an input of 1.
        dac: in the unit of the inputs; None where these are applied as they are.
        adc: in A; None without an ADC.
        tile_rows: inputs whose current is converted at once.
        key: of the draws of a read.
        narrow: whether squares of inputs and variances are rounded as by `crossbar_read.narrow`.
    """

    gain: Tensor
    volts: float
    dac: Codes | None
    adc: Codes | None
    tile_rows: int
    key: int
    narrow: bool = False

    @property
    def scale(self) -> Tensor:
        """What a step of the ADC stands for, [1] or [outputs]; 1 without an ADC."""
        adc = self.adc
        return torch.ones_like(self.gain) if adc is None else adc.step * (self.gain / self.volts)

    @property
    def factor(self) -> Tensor:
        """Steps of the ADC for a weight and a step of the DAC, [1] or [outputs]."""
        return (1.0 if self.dac is None else self.dac.step) / self.scale

    @property
    def square(self) -> Tensor:
        """Steps^2 for a variance in S^2, [1] or [outputs]."""
        return (self.gain * self.factor).square()

    @property
    def codes(self) -> Tensor:
        """Inverse step, lowest and highest code of the DAC, [3]; zeros without one."""
        dac = self.dac
        return self.gain.new_tensor([0.0] * 3 if dac is None else [float(1 / dac.step), *dac[1:]])


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
        terms: converters and units, whose `gain` counts for cells that are written already.
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
    written, numbers, kept = _written(cells, terms)
    known = (cells.folded, cells.variance) if isinstance(cells, Known) else (None, None)
    n, key, tile_rows, narrow = 0, 0, cells[0].shape[2], False
    dac = adc = None
    volts = 1.0
    if terms is not None and x is not None:
        _, volts, dac, adc, tile_rows, key, narrow = terms
        n = x.shape[0]
    steps = (None if codes is None else codes.step for codes in (dac, adc))
    integers = (
        *written,
        *map(address, (*known, folded, variance, x, *steps, reads)),
        key,
        n,
        tile_rows,
        narrow,
        address(out),
    )
    ends = [end for codes in (dac, adc) for end in ((0.0, 0.0) if codes is None else codes[1:])]
    row, floats = array("q", integers), array("f", (*numbers, volts, *ends))
    cpu = native.cpu()
    assert cpu is not None
    is_finite: bool = cpu.rehearsed_read(row.buffer_info()[0], floats.buffer_info()[0])
    del kept
    return is_finite


def _written(
    cells: Writing | Known, terms: Terms | None
) -> tuple[tuple[int, ...], tuple[float, ...], "array[int] | None"]:
    """The first numbers of the rows that the kernel takes, and what they are addresses of."""
    if isinstance(cells, Known):
        assert terms is not None
        gain = (0, len(terms.gain), 0, 0, address(terms.gain))
        return (*cells.folded.shape, *gain, 0, 0, 0), (1.0, *[0.0] * 5), None
    w, steps = cells, cells.steps
    keys = array("q", [key for pair in w.keys for key in pair])
    sizes = (len(w.keys), len(w.scale), int(w.is_noisy))
    places = map(address, (w.weight, w.scale, steps.kinds, steps.numbers))
    return (*w.weight.shape, *sizes, *places, keys.buffer_info()[0]), w.numbers, keys


def reference(writing: Writing) -> Known | None:
    """As `write`, with PyTorch on any device."""
    w, weight = writing, writing.weight
    span, start, most, highest, relative, constant = w.numbers
    carrying = start + (weight.abs() * (span / w.scale).unsqueeze(1)).clamp(max=most)
    pair = carrying.clamp(max=highest), torch.full_like(weight, start)
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
