"""What contracts hand to each other: plain records, frozen, in SI units."""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from memcore.contracts.lines import Lines
from memcore.contracts.sums import OperationUnit
from memcore.random import Stream


class Stage(IntEnum):
    """When a non-ideality acts; the order of the members is the order of execution."""

    PROGRAM = 0  #: G -> G, once after writing
    AGE = 1  #: (G, seconds) -> G, on the simulated clock
    READ = 2  #: G -> G, at every read
    MVM = 3  #: (V, G) -> I, at every read, at most one
    CURRENT = 4  #: I -> I, at every read


@dataclass(frozen=True, kw_only=True)
class Context:
    """Handed to all that happens at conversion, programming and ageing.

    Args:
        random: the only source of randomness; the same for the same chip, layer and effect.
        temperature: K.
        writes: how often the arrays were programmed before. What a rewrite draws anew comes from
            `ctx.random.child("write", ctx.writes)`, what stays for life from `ctx.random`.
        torch_device: where tensors that are drawn belong.
        dtype: of the calculation, in which states and levels are made from numbers; float64 where
            cells or waveforms are, else float32.
        tile: word lines and bit lines of one array, told to mappers; None for one array as large as
            needed.
        lines: the bit lines that a converter is bound for, for one that says that it `differs`;
            None for all else.
        unit: the cells that an ADC senses together, for one that `counts_open`; None for all else.
    """

    random: Stream
    temperature: float = 300.0
    writes: int = 0
    torch_device: torch.device | None = None
    dtype: torch.dtype = torch.float32
    tile: tuple[int, int] | None = None
    lines: Lines | None = None
    unit: OperationUnit | None = None

    def child(self, *names: str | int) -> "Context":
        """The same context with the stream of a named part."""
        return self.drawing(self.random.child(*names))

    def drawing(self, random: Stream) -> "Context":
        """The same context with another stream."""
        other: Context = object.__new__(type(self))
        other.__dict__.update(vars(self), random=random)  # nothing is checked
        return other


@dataclass(frozen=True, kw_only=True)
class Programmed:
    """What a programming routine achieved; tensors broadcast to [arrays, rows, cols].

    Args:
        conductance: S, read back without error.
        pulses: pulses spent on each cell.
        energy: J spent on each cell.
        verified: whether the routine accepted the cell.
        time: s spent on each cell, pulses and reads; cells may be written at the same time.
        reversals: how often the direction of a cell's pulses changed.
        error: S, `conductance` less the target; None if the routine does not say.
        state: of the device, [k, arrays, rows, cols]; None if the routine does not say.
    """

    conductance: Tensor
    pulses: Tensor | float = 0.0
    energy: Tensor | float = 0.0
    verified: Tensor | bool = True
    time: Tensor | float = 0.0
    reversals: Tensor | float = 0.0
    error: Tensor | None = None
    state: Tensor | None = None
