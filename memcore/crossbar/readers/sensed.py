"""Sums of one-bit cells, unit by unit, as sense amplifiers tell them."""

import torch
from torch import Tensor, nn

from memcore.contracts.forms import SerialLevels
from memcore.contracts.sums import Sums
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers.noise import numbered
from memcore.crossbar.readers.phases import in_phases
from memcore.crossbar.together import process
from memcore.crossbar.units import UnitCells
from memcore.random import ReadStream


class Sensed(nn.Module):
    """Reads bit by bit: each unit of word lines, each bit of the input and each slice has a sum.

    Digital adders put together what is told of the sums. Reference columns are not sensed, as the
    references of an amplifier take their place; what they stand for is subtracted digitally.

    Args:
        units: the bits that the cells should hold.
        folded: what the cells stand for, in the weight's domain, [groups, outputs, inputs].
        dac: bits of the inputs.
        sums: what is told of a sum.
        key: of its draws.
        gain: weight for one siemens of net conductance in each lane, [lanes] or [lanes, cols].
        plan: phases of the input, groups of word lines, lanes.
    """

    folded: Tensor
    cells: Tensor
    share: Tensor

    def __init__(
        self,
        units: UnitCells,
        folded: Tensor,
        dac: SerialLevels,
        sums: Sums,
        key: int,
        gain: Tensor,
        plan: ReadPlan,
    ) -> None:
        super().__init__()
        self.dac, self.sums, self.plan, self.constant = dac, sums, plan, False
        self._key, self.references = key, units.references
        for name, value in {
            "folded": folded,
            "cells": units.cells,
            "share": self._shares(units, gain * units.step),
        }.items():
            self.register_buffer(name, value, persistent=False)
        largest = max(abs(dac.lo), abs(dac.hi))
        #: What a phase counts for, in steps of the DAC.
        self.places = [round(place * largest) for place in dac.places]

    def _shares(self, units: UnitCells, of_lane: Tensor) -> Tensor:
        """Weight of a 1 in each part, [parts + references, 1 or cols]."""
        columns = of_lane if of_lane.dim() == 2 else of_lane.unsqueeze(1)
        own = [sign * columns[k] for k, sign in zip(units.lanes, units.signs, strict=True)]
        return torch.stack([*own, *(-columns[lane] for lane, _ in units.references)])

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: how many reads there were before, which numbers those to come.
            lines: not used: bits are applied one after the other.
        """
        del lines
        phases = in_phases(self.dac, x, False)
        first = numbered(reads, x.shape[0], len(phases))
        _, ranks = process()
        total = x.new_zeros(())
        for k, ((driven, _), place) in enumerate(zip(phases, self.places, strict=True)):
            opened = (driven != 0).to(torch.uint8)
            stream = ReadStream(self._key, first + k * ranks)
            told = self.sums.sums(self.plan.cut(opened, -1), self.cells, stream)
            total = total + place * self._with_references(told.to(x.dtype), opened)
        # Not as a product of matrices, whose rounding depends on how many inputs there are.
        y: Tensor = (total * self.share).sum(2) * self.dac.step
        return y

    def _with_references(self, told: Tensor, opened: Tensor) -> Tensor:
        """Sums [n, groups, parts, cols], with those of reference columns behind them."""
        cols = self.plan.tiling.cols
        own = told.view(*told.shape[:2], told.shape[2] // cols, cols)
        if not self.references:
            return own
        counts = [
            torch.einsum("ngk,gko->ngo", opened.to(told.dtype), bits.to(told))
            for _, bits in self.references
        ]
        return torch.cat([own, torch.stack(counts, dim=2)], dim=2)
