"""`CostModel`: the contract of an estimate of energy, time and area, and what it is told."""

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import Contract, hookspec


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What the arrays of one matrix did: integers, and three sums over the simulated cells.

    Args:
        vectors: input vectors that were multiplied.
        phases: steps in which inputs are applied, all vectors together.
        reads: activations of one array by one group of word lines.
        drives: word lines driven, each in one read.
        dac_conversions: results of DACs by their bits; 0 bits where the DAC does not say.
        adc_conversions: results of ADCs by lane and bits.
        shift_adds: digital additions of the results of phases, groups of word lines, tiles, lanes
            and, with an ADC for each column, of parts.
        bits_in: bits moved into DACs.
        bits_out: bits moved out of ADCs.
        pulses: programming pulses of all cells.
        cells_written: cells written, each time they were.
        dissipation: V^2 G summed over all cells and reads, W: times the duration of a read, the
            energy in J that the cells turn into heat; resistance of wires is left out.
        programming_energy: energy of all programming pulses in J.
        programming_time: s, of all cells written one after another.
    """

    vectors: int = 0
    phases: int = 0
    reads: int = 0
    drives: int = 0
    dac_conversions: Mapping[int, int] = field(default_factory=dict)
    adc_conversions: Mapping[tuple[int, int], int] = field(default_factory=dict)
    shift_adds: int = 0
    bits_in: int = 0
    bits_out: int = 0
    pulses: int = 0
    cells_written: int = 0
    dissipation: float = 0.0
    programming_energy: float = 0.0
    programming_time: float = 0.0

    @property
    def conversions(self) -> int:
        """Results of all ADCs."""
        return sum(self.adc_conversions.values())

    def __add__(self, other: Self) -> Self:
        return type(self)(
            **{
                each.name: _sum(getattr(self, each.name), getattr(other, each.name))
                for each in dataclasses.fields(self)
            }
        )


def _sum(one: Any, other: Any) -> Any:
    if not isinstance(one, Mapping):
        return one + other
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Energy in J, time in s, area in m^2."""

    energy: float = 0.0
    time: float = 0.0
    area: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            energy=self.energy + other.energy,
            time=self.time + other.time,
            area=self.area + other.area,
        )


class CostModel(Contract):
    """Energy, time and area of what the arrays did."""

    kind = "costs"

    @hookspec
    @abstractmethod
    def estimate(self, activity: Activity, array: ArrayInfo) -> Cost:
        """The cost of `activity` on `array`; no activity costs no energy and no time."""
