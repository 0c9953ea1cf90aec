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
from memcore.ops.folded import Folded

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
        #: Of pairs of cells whose last step is `nearest`.
        self.levels = _levels_of(self.each, self.numbers)


class Levels(NamedTuple):
    """Whole numbers that pairs of cells come to.

    Products of whole numbers are exact, so that they are summed in any way; each sum is multiplied
    by what a level stands for.

    Args:
        width: the difference of the conductances of a pair, S, for a level of 1.
        most: the largest level of either sign.
    """

    width: float
    most: float

    @property
    def dtype(self) -> torch.dtype:
        """Of levels that are kept for a backward pass: of a byte, where all of them fit."""
        return torch.int8 if self.most <= 127 else torch.float32

    def unit(self, gain: Tensor) -> Tensor:
        """The weight that a level stands for, of that for one siemens, [1] or [outputs]."""
        return gain * self.width


def _levels_of(steps: Sequence[CellStep], numbers: Tensor) -> Levels | None:
    if not steps or steps[-1].kind != "nearest" or not steps[-1].a or steps[-1].b < 1:
        return None
    return Levels(float(numbers[-1, 0] / numbers[-1, 1]), steps[-1].b)


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
        pairs: levels of pairs, or what they stand for, [groups, outputs, inputs].
        variance: S^2 of a read, the same; None without noise.
        gain: weight for one siemens, [1] or [outputs].
        levels: what the levels are; None where pairs have none.
    """

    pairs: Tensor
    variance: Tensor | None
    gain: Tensor
    levels: Levels | None = None

    @property
    def unit(self) -> Tensor | None:
        """The weight that a level stands for, [1] or [outputs]; None where pairs have none."""
        return None if self.levels is None else self.levels.unit(self.gain)

    @property
    def folded(self) -> Tensor:
        """What the cells stand for, in the weight's domain, [groups, outputs, inputs]."""
        return Folded(self.pairs, self.unit).weight

    @property
    def compact(self) -> Folded:
        """What the cells stand for, as `unfilled` has it."""
        if self.levels is None:
            return Folded(self.pairs)
        return Folded(self.pairs.to(self.levels.dtype), self.unit)


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
        volts: V for an input of 1.
        dac: in the unit of the inputs; None where these are applied as they are.
        adc: in A; None without an ADC.
        tile_rows: inputs whose current is converted at once.
        key: of the draws of a read.
        narrow: whether squares of inputs and variances are rounded as by `crossbar_read.narrow`.
    """

    volts: float
    dac: Codes | None
    adc: Codes | None
    tile_rows: int
    key: int
    narrow: bool = False

    def units(self, gain: Tensor) -> "Units":
        """The units of cells of a gain, weight for one siemens, [1] or [outputs]."""
        adc, dac = self.adc, self.dac
        scale = torch.ones_like(gain) if adc is None else adc.step * (gain / self.volts)
        factor = (1.0 if dac is None else dac.step) / scale
        codes = [0.0, 0.0, 0.0] if dac is None else [float(1 / dac.step), *dac[1:]]
        return Units(factor, (gain * factor).square(), scale, gain.new_tensor(codes))


class Units(NamedTuple):
    """What `crossbar_read` takes for `Terms`.

    Args:
        factor: steps of the ADC for a weight and a step of the DAC, [1] or [outputs].
        square: steps^2 for a variance in S^2, [1] or [outputs].
        scale: what a step of the ADC stands for, [1] or [outputs]; 1 without an ADC.
        codes: inverse step, lowest and highest code of the DAC, [3]; zeros without one.
    """

    factor: Tensor
    square: Tensor
    scale: Tensor
    codes: Tensor


class Reads(NamedTuple):
    """Numbers of reads, of which each has draws of its own: `first`, `first + step`, and so on."""

    first: int
    step: int


def write(writing: Writing) -> Known | None:
    """Write cells; None if what they stand for is not finite."""
    pairs = torch.empty_like(writing.weight)
    variance = torch.empty_like(pairs) if writing.is_noisy else None
    is_finite = _call(writing, (None, pairs, variance), None, None)
    return Known(pairs, variance, writing.gain, writing.steps.levels) if is_finite else None


def unfilled(writing: Writing) -> Folded:
    """Room for what cells stand for, which `read` fills."""
    weight, levels = writing.weight, writing.steps.levels
    if levels is None:
        return Folded(torch.empty_like(weight))
    return Folded(torch.empty_like(weight, dtype=levels.dtype), levels.unit(writing.gain))


def read(
    cells: Writing | Known,
    terms: Terms,
    x: Tensor,
    reads: Reads | None,
    *,
    bias: Tensor | None = None,
    folded: Folded | None = None,
) -> Tensor | None:
    """Outputs [n, groups, outputs] of inputs; None if what the cells stand for is not finite.

    Element `(g * tiles + t) * outputs + o` of a read is the draw of output o in tile t. The result
    is that of `crossbar_read` with the same cells, to the bit.

    Args:
        cells: what is read; what is not written yet is written on the way.
        terms: converters.
        x: [n, groups, inputs], float32.
        reads: their numbers, if there is noise.
        bias: is added to the outputs, float32 of as many values as a read has.
        folded: takes what the cells stand for, if they are written on the way; of `unfilled`.
    """
    groups, outputs, _ = cells[0].shape
    out = x.new_empty((x.shape[0], groups, outputs))
    reading = _Reading(terms, x.contiguous(), reads or Reads(0, 1), bias)
    return out if _call(cells, _room(folded), reading, out) else None


#: Where the kernel puts levels, float pairs and their variances.
_Room = tuple[Tensor | None, Tensor | None, Tensor | None]


def _room(folded: Folded | None) -> _Room:
    if folded is None:
        return None, None, None
    pairs = folded.pairs
    return (pairs, None, None) if pairs.dtype is torch.int8 else (None, pairs, None)


class _Reading(NamedTuple):
    terms: Terms
    x: Tensor
    reads: Reads
    bias: Tensor | None


def _call(
    cells: Writing | Known,
    kept: _Room,
    reading: _Reading | None,
    out: Tensor | None,
) -> bool:
    written, numbers, keys = _written(cells)
    read, ends = _read(cells, reading)
    integers = (*written, *map(address, kept), *read, address(out))
    row, floats = array("q", integers), array("f", (*numbers, *ends))
    cpu = native.cpu()
    assert cpu is not None
    is_finite: bool = cpu.rehearsed_read(row.buffer_info()[0], floats.buffer_info()[0])
    del keys
    return is_finite


def _read(
    cells: Writing | Known, reading: _Reading | None
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The numbers of the rows that the kernel takes for a read."""
    if reading is None:
        return (0,) * 7 + (0, cells[0].shape[2], 0), (1.0, *[0.0] * 4)
    terms, x, reads, bias = reading
    (dac, *inputs), (adc, *outputs) = _at(terms.dac), _at(terms.adc)
    places = (address(x), dac, adc, address(bias))
    row = (*places, terms.key, *reads, x.shape[0], terms.tile_rows, int(terms.narrow))
    return row, (terms.volts, *inputs, *outputs)


def _at(codes: Codes | None) -> tuple[int, float, float]:
    """Where the step is, and the ends."""
    return (0, 0.0, 0.0) if codes is None else (address(codes.step), codes.lo, codes.hi)


def _written(
    cells: Writing | Known,
) -> tuple[tuple[int, ...], tuple[float, ...], "array[int] | None"]:
    """The first numbers of the rows that the kernel takes, and what they are addresses of."""
    if isinstance(cells, Known):
        pairs, variance, gain, levels = cells
        nothing = (0, 0, 0)  # neither steps, nor their numbers and keys
        sizes = (0, gain.shape[0], 0)
        places = map(address, (None, gain, pairs, variance))
        numbers = (1.0, *[0.0] * 5, *(levels or (0.0, 0.0)))
        return (*pairs.shape, *sizes, *places, *nothing), numbers, None
    w, steps = cells, cells.steps
    keys = array("q", [key for pair in w.keys for key in pair])
    sizes = (len(w.keys), w.scale.shape[0], int(w.is_noisy))
    places = map(address, (w.weight, w.scale, None, None, steps.kinds, steps.numbers))
    return (*w.weight.shape, *sizes, *places, keys.buffer_info()[0]), (*w.numbers, 0.0, 0.0), keys


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
        return Known(folded, None, w.gain)
    variance = (relative * g).square_().add_((relative * other).square_())
    return Known(folded, variance.add_(2 * constant), w.gain)


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
