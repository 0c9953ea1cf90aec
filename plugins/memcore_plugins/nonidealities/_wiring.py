"""What the effects of line resistance have in common: the wires, and sources of their numbers."""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, Literal, NamedTuple

from memcore import ConfigError, NonIdeality, Stage, Wires, parameter


class Metal(NamedTuple):
    """An interconnect of one technology node."""

    width: float  #: m
    aspect: float  #: height over width
    resistivity: float  #: ohm m, with the scattering of narrow wires

    def segment(self, length: float) -> float:
        """The resistance in ohm of a wire of `length` m."""
        return self.resistivity * length / (self.width**2 * self.aspect)


#: By technology node in nm: the intermediate wires of the ITRS, as NeuroSim has them (width, aspect
#: ratio and resistivity read in its published parameter files, V1.3 and V2.1).
METALS: Final = MappingProxyType(
    {
        130: Metal(175e-9, 1.6, 2.20e-8),
        90: Metal(110e-9, 1.6, 2.52e-8),
        65: Metal(105e-9, 1.7, 2.68e-8),
        45: Metal(80e-9, 1.7, 3.31e-8),
        32: Metal(56e-9, 1.8, 3.70e-8),
        22: Metal(40e-9, 1.9, 4.03e-8),
        14: Metal(25e-9, 2.0, 5.08e-8),
        10: Metal(18e-9, 2.0, 6.35e-8),
        7: Metal(18e-9, 2.0, 6.35e-8),
    }
)

_RESISTANCES: Final = ("segment", "word_line", "bit_line", "driver", "sense")

_PITCHES: Final = (1e-9, 1e-3)  #: m; beyond, another unit was meant


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True)
class Wiring(NonIdeality):
    """Resistances of word lines, bit lines and what they end in; a NonIdeality through subclasses.

    Give `segment`, or `node` (and `pitch`), from which it follows; `word_line` and `bit_line`
    override it.
    """

    stage = Stage.MVM
    neutral: ClassVar = {
        "segment": 0.0,
        "word_line": None,
        "bit_line": None,
        "driver": 0.0,
        "sense": 0.0,
    }

    segment: float | None = parameter(
        None, "ohm", "one segment of a word line and of a bit line; 1 ohm unless a node is given"
    )
    node: int | None = parameter(None, "nm", "technology node: 130, 90, 65, 45, 32, 22, 14, 10, 7")
    pitch: float | None = parameter(
        None,
        "m",
        "distance of two cells, 1 nm to 1 mm, which makes the segment; twice the wire's width",
    )
    word_line: float | None = parameter(None, "ohm", "one segment of a word line, if different")
    bit_line: float | None = parameter(None, "ohm", "one segment of a bit line, if different")
    driver: float = parameter(0.0, "ohm", "source of a word line")
    sense: float = parameter(0.0, "ohm", "what a bit line ends in, a virtual ground")

    def __post_init__(self) -> None:
        for name in _RESISTANCES:
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and 0 <= value < math.inf):
                raise ConfigError(f"{name}={value!r}; expected ohm, a finite number >= 0")
        if self.node is not None and self.node not in METALS:
            known = ", ".join(map(str, METALS))
            raise ConfigError(f"node={self.node!r}; expected nm, one of {known}, or a segment")
        if self.node is not None and self.segment is not None:
            raise ConfigError(
                f"segment={self.segment!r} and node={self.node!r}; expected one of the two"
            )
        if self.pitch is not None and self.node is None:
            raise ConfigError(f"pitch={self.pitch!r} without a node; expected node=..., in nm")
        shortest, longest = _PITCHES
        if self.pitch is not None and not (
            _is_number(self.pitch) and shortest <= self.pitch <= longest
        ):
            raise ConfigError(
                f"pitch={self.pitch!r}; expected m, {shortest!r} to {longest!r}: 80e-9 is 80 nm"
            )

    @property
    def segment_resistance(self) -> float:
        """One segment in ohm, where `word_line` and `bit_line` say nothing else."""
        if self.node is None:
            return 1.0 if self.segment is None else self.segment
        metal = METALS[self.node]
        return metal.segment(2 * metal.width if self.pitch is None else self.pitch)

    @property
    def resistances(self) -> tuple[float, float]:
        """Segments of the word lines and of the bit lines in ohm."""
        word = self.segment_resistance if self.word_line is None else self.word_line
        bit = self.segment_resistance if self.bit_line is None else self.bit_line
        return word, bit

    def wires(
        self,
        drive: Literal["left", "right", "both"] = "left",
        sense_at: Literal["bottom", "top", "both"] = "bottom",
    ) -> Wires:
        """The wires as the solvers want them."""
        word, bit = self.resistances
        return Wires(
            word_line=word,
            bit_line=bit,
            driver=self.driver,
            sense=self.sense,
            drive=drive,
            sense_at=sense_at,
        )
