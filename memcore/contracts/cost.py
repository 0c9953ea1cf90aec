"""`CostModel`: the contract of an estimate of energy, time and area."""

from abc import abstractmethod
from dataclasses import dataclass

from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import Contract, hookspec


@dataclass(frozen=True, kw_only=True)
class Events:
    """What one inference did to the arrays: counts of vector reads, pulses and conversions."""

    reads: int = 0
    pulses: int = 0
    conversions: int = 0


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
    def estimate(self, events: Events, array: ArrayInfo) -> Cost:
        """The cost of `events` on `array`; zero events cost no energy and no time."""
