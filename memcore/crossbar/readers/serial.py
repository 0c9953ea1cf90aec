"""Whole numbers: reads digit by digit of cells that hold nothing between two levels."""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from memcore import native
from memcore.contracts.forms import SerialLevels, UniformLevels
from memcore.contracts.mapper import Part
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers.digital import added_up, step_values
from memcore.ops._library import is_plain
from memcore.ops.serial_read import (
    LARGEST,
    Adc,
    Digits,
    Numbers,
    adc_of,
    lay_out,
    read_into,
    serial_read,
)

#: Into how many equal parts levels may cut the window: those of cells with 1 to 6 bits, and halves
#: of them, in which references may lie.
_PARTS: Final = (1, 3, 7, 15, 31, 63, 2, 6, 14, 30, 62)
#: Rounding of a difference of two conductances, of the largest one.
_ROUNDING: Final = 4 * torch.finfo(torch.float32).eps
#: Word lines that are added up at once, and their sums, at most.
_MOST_ROWS: Final = 1024
_MOST: Final = 2**15 - 1


class WholeNumbers(NamedTuple):
    """What the cells of each digitised value hold.

    Args:
        numbers: int8 [values, groups, rows, cols].
        units: conductance of a 1 of each value, S.
        base: conductance of a 0, S.
    """

    numbers: Tensor
    units: tuple[float, ...]
    base: float


def whole_numbers(
    matrices: Tensor, window: tuple[float, float], plan: ReadPlan, digit: int
) -> WholeNumbers | None:
    """The numbers that cells hold, if they hold levels and nothing between them; else None.

    Args:
        matrices: conductances of each value that is digitised, [values, groups, rows, cols] S.
        window: lowest and highest conductance of a cell, S.
        plan: of a read: of single columns, a 0 conducts as much as the lowest level.
        digit: the largest digit of an input.
    """
    low, high = window
    base = low if plan.per_column else 0.0
    if plan.group_rows > _MOST_ROWS or not matrices.numel() or not high > low:
        return None
    found = [_numbers(matrix - base, high - low, _ROUNDING * high) for matrix in matrices]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    numbers = torch.stack([each for each, _ in known])
    if int(numbers.to(torch.int16).abs().max()) * digit * plan.group_rows > _MOST:
        return None
    return WholeNumbers(numbers, tuple(unit for _, unit in known), base)


def _numbers(net: Tensor, span: float, rounding: float) -> tuple[Tensor, float] | None:
    few = net[:, :8, :8]
    for parts in _PARTS:
        unit = span / parts
        if all(_is_whole(some / unit, rounding / unit) for some in (few, net)):
            return (net / unit).round().to(torch.int8), unit
    return None


def _is_whole(numbers: Tensor, rounding: float) -> bool:
    nearest = numbers.round()
    return bool(((numbers - nearest).abs() <= rounding).all() & (nearest.abs() <= LARGEST).all())


class Serial(nn.Module):
    """Reads of cells that hold whole numbers, through a serial DAC and uniform ADCs.

    Sums of whole numbers are exact; the ADC rounds them, and digital adders put codes together, as
    in `Tiled`, to the bit wherever no current lies between two codes.

    Args:
        whole: what the cells hold.
        folded: what the cells stand for, in the weight's domain, [groups, outputs, inputs].
        volts: V for an input of 1.
        dac: levels of the inputs, with one step.
        adc: levels of the currents in A, of each lane.
        parts: how columns that are converted one by one are subtracted, in the order of the values.
        gain: weight for one siemens of net conductance in each lane, [lanes] or [lanes, cols].
        plan: phases of the input, groups of word lines, lanes.
    """

    tables: Tensor
    shift: Tensor
    cells: Tensor
    factor: Tensor
    base: Tensor | None
    scale: Tensor
    short: Tensor
    gain: Tensor
    folded: Tensor

    def __init__(
        self,
        whole: WholeNumbers,
        folded: Tensor,
        volts: float,
        dac: SerialLevels,
        adc: list[UniformLevels],
        parts: tuple[Part, ...],
        gain: Tensor,
        plan: ReadPlan,
    ) -> None:
        super().__init__()
        values, groups, _, cols = whole.numbers.shape
        self.dac, self.parts, self.plan, self.constant = dac, parts, plan, False
        self.shape = (groups, values, cols)
        self.lo, self.hi = adc[0].lo, adc[0].hi
        planes = tuple(number for plane in dac.planes for number in plane)
        self._digits = (planes, dac.places, dac.lo, dac.hi)
        steps = [adc[lane].step for lane in plan.values]
        laid = lay_out(whole.numbers.permute(1, 2, 0, 3).flatten(2), plan.group_rows)
        self._counts = (laid.together, laid.within)
        digit = float(dac.step) * max(abs(dac.lo), abs(dac.hi)) / (2**dac.bits_per_step - 1)
        pairs = zip(whole.units, steps, strict=True)
        factors = [digit * volts * unit / float(step) for unit, step in pairs]
        bases = [whole.base / unit for unit in whole.units]
        adcs = adc_of(
            laid,
            2**dac.bits_per_step - 1,
            gain.new_tensor(factors).repeat_interleave(cols),
            gain.new_tensor(bases).repeat_interleave(cols) if whole.base else None,
            step_values(self.shape, plan, steps, gain, volts),
            (self.lo, self.hi),
        )
        for name, value in {
            "tables": laid.tables,
            "shift": laid.shift,
            "cells": laid.cells,
            "factor": adcs.factor,
            "base": adcs.base,
            "scale": adcs.scale,
            "short": adcs.short,
            "gain": gain,
            "folded": folded,
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: not used: nothing is drawn at a read.
            lines: not used: digits are applied one after the other.
        """
        del reads, lines
        y = serial_read(x, *self._held())
        return added_up(y, self.shape, self.plan, self.parts, self.gain)

    def directly(self, x: Tensor, first: int, bias: Tensor | None) -> Tensor | None:
        """What `forward` gives, the bias added, at little cost.

        Args:
            x: inputs [..., groups, inputs], or [..., inputs] of one group, plain and not empty.
            first: not used: nothing is drawn at a read.
            bias: added to the outputs, [groups * outputs]; None for none.

        Returns:
            Outputs with the dimensions of x; None where this is no way to read.
        """
        del first
        held = self._held()
        if native.cpu() is None or not is_plain(self.scale):
            return None
        groups, values, cols = self.shape
        out = x.new_empty((x.numel() // (groups * self.plan.tiling.rows), groups, values * cols))
        read_into(out, x, *held)
        y = added_up(out, self.shape, self.plan, self.parts, self.gain)
        y = y if bias is None else y + bias.view(groups, cols)
        return y.view(*x.shape[:-1], cols)

    def _held(self) -> tuple[Numbers, Digits, Adc]:
        """What the kernel reads."""
        held: dict[str, Tensor] = self._buffers  # type: ignore[assignment]
        together, within = self._counts
        tables, shift, cells = held["tables"], held["shift"], held["cells"]
        numbers = Numbers(tables, shift, together, self.plan.group_rows, cells, within)
        digits = Digits(self.dac.step, *self._digits)
        scale, short = held["scale"], held["short"]
        return numbers, digits, Adc(held["factor"], held["base"], scale, self.lo, self.hi, short)
