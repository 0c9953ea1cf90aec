"""Mapping and programming for conductances that are given rather than derived from weights."""

from dataclasses import dataclass

from torch import Tensor, nn

import memcore
from memcore.errors import ConfigError
from memcore.hookspecs import (
    ArrayInfo,
    Context,
    Mapped,
    Mapper,
    Memristor,
    NonIdeality,
    Programmed,
    Programmer,
    Stage,
)
from memcore.wired import Wired
from memcore.wires import Wires


@dataclass(frozen=True, kw_only=True)
class AsGiven(Mapper):
    """The matrix is conductances already."""

    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        del device, ctx
        return Mapped(targets=(weight,), gain=weight.new_ones(()))

    def combine(self, current: Tensor) -> Tensor:
        return current[0]


@dataclass(frozen=True, kw_only=True)
class AsTold(Programmer):
    """Every cell takes its target."""

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        del array, ctx
        return Programmed(conductance=target)


@dataclass(frozen=True, kw_only=True)
class GivenWires(NonIdeality):
    """Wires with resistances of their own, perhaps one for each segment."""

    stage = Stage.MVM
    wires: Wires

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        del ctx
        return Wired(self.wires, array)


def window(conductance: Tensor) -> Memristor:
    """An ideal device whose window just holds the given conductances."""
    highest = float(conductance.max()) or 1.0
    lowest = min(max(float(conductance.min()), 1e-9 * highest), 0.5 * highest)
    device = memcore.devices["ideal"](r_on=1 / highest, r_off=1 / lowest)
    assert isinstance(device, Memristor)
    return device


def check(conductance: Tensor) -> None:
    """Refuse what is no matrix of conductances.

    Raises:
        ConfigError: it is not [rows, cols], or has negative or non-finite entries.
    """
    if conductance.dim() != 2 or not conductance.numel():
        raise ConfigError(
            f"conductance has shape {tuple(conductance.shape)}; expected [rows, cols] in S"
        )
    if not (conductance.isfinite().all() and (conductance >= 0).all()):
        raise ConfigError("conductance has negative or non-finite entries; expected S >= 0")
