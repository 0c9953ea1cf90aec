"""`ArrayInfo`: what the plugins of a layer are told about its physical arrays."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.contracts.forms import Gaussian
from memcore.contracts.layout import Layout
from memcore.contracts.wires import Wires


@dataclass(frozen=True, kw_only=True)
class ArrayInfo:
    """The physical arrays of one layer, handled together, never tile by tile in Python.

    Args:
        arrays: how many: tiles x slices x polarities.
        rows: word lines of one array.
        cols: bit lines of one array.
        device: the cells, with every distribution drawn: parameters are numbers or tensors
            that broadcast to [arrays, rows, cols].
        nominal: the same device with every distribution at its nominal value.
        name: the layer's qualified name.
        parts: of the weights that have arrays of their own, such as a positive and a negative one;
            the arrays of one part come one after another.
        target: S, what the cells should hold, [arrays, rows, cols]; None while nothing is
            written. Effects that look it up set `needs_target`.
        present: S, what the cells conduct when a rewrite begins, [arrays, rows, cols]; None if they
            are fresh, and for programmers that are not `incremental`.
        stuck: S, what the cells conduct that no pulse moves, NaN for all others, [arrays, rows,
            cols]; None if there are none.
        noises: of a read of each cell. Only programmers are told, for their verify reads.
        wires: of the arrays, None if nothing that is configured has any. Only programmers are told.
        layout: where the lines lie that `wires` are about, and which parts share word lines.
        reach: S, the least and the largest of the targets, which all are finite; None if they are
            not known. Only programmers are told.
        read_voltage: V, of the largest input, as configured; 0.2 V where inputs are given in V.
        dac_bits: bits of the DACs, 0 if they do not say; None without any. Only cost models are
            told.
        adc_bits: bits of the ADCs, likewise; where lanes differ, the most.
        adc_arrays: number of arrays by the bits of their ADCs. Only cost models are told.
        lanes: the arrays of each lane of the mapping, one lane after the other, where lanes have
            cells of different kinds: `device` and `nominal` are the nominal device of the first
            lane then; () otherwise.
    """

    arrays: int
    rows: int
    cols: int
    device: Memristor
    nominal: Memristor
    name: str = ""
    parts: int = 1
    target: Tensor | None = None
    present: Tensor | None = None
    stuck: Tensor | None = None
    noises: tuple[Gaussian, ...] = ()
    wires: Wires | None = None
    layout: Layout = dataclasses.field(default_factory=Layout, compare=False)
    reach: tuple[float, float] | None = None
    read_voltage: float = 0.2
    dac_bits: int | None = None
    adc_bits: int | None = None
    adc_arrays: Mapping[int, int] = dataclasses.field(default_factory=dict, compare=False)
    lanes: "tuple[ArrayInfo, ...]" = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """[arrays, rows, cols]."""
        return (self.arrays, self.rows, self.cols)

    def with_ideal_lines(self) -> "ArrayInfo":
        """The same cells in arrays whose wires take nothing and are not shared."""
        return dataclasses.replace(self, wires=None, layout=Layout())

    def read_variance(self, conductance: Tensor) -> Tensor:
        """S^2, of a read of [arrays, rows, cols] S right after writing."""
        variance = torch.zeros_like(conductance)
        now = torch.zeros((), dtype=torch.float64, device=conductance.device)
        for noise in self.noises:
            noise.settle(conductance, now)
            variance = variance + noise.variance(conductance)
        return variance
