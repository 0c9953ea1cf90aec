"""What effects of line resistance have in common: the wires, and the sources of their numbers."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple

from memcore import ConfigError, NonIdeality, Stage, Wires, parameter


class Metal(NamedTuple):
    """A local wire of one technology node: copper in a barrier that does not conduct."""

    width: float  #: m, of the trench
    barrier: float  #: m, on both sides and on the ground
    scatter: float = 1.0  #: by how much scattering in narrow wires raises the resistivity
    aspect: float = 2.0  #: height over width
    resistivity: float = 2.2e-8  #: ohm m

    def segment(self, length: float) -> float:
        """The resistance in ohm of a wire of `length` m."""
        height, width = self.aspect * self.width - self.barrier, self.width - 2 * self.barrier
        return self.scatter * self.resistivity * length / (height * width)


#: By technology node in nm: local wires as CACTI 7 projects them conservatively, with a pitch of
#: 2.5 times the node. Balasubramonian et al., ACM TACO 14(2), 2017, and the parameter files of its
#: release (commit d246854); the formula is the one that it computes resistances with.
METALS: Final = MappingProxyType(
    {
        90: Metal(112.5e-9, 8e-9),
        65: Metal(81.25e-9, 6e-9),
        45: Metal(56.25e-9, 4e-9),
        32: Metal(40e-9, 3e-9),
        22: Metal(27.5e-9, 3e-9, scatter=1.05),
    }
)


@dataclass(frozen=True, kw_only=True)
class Wiring(NonIdeality):
    """Resistances of word lines, bit lines and what they end in, for all effects of wires.

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
        None,
        "ohm",
        "resistance of one segment of a word line or bit line; 1 ohm unless a node is given",
        at_least=0,
    )
    node: int | None = parameter(
        None,
        "nm",
        "technology node, from which the resistance of a segment follows",
        choices=tuple(METALS),
        remedy="give nm, or a segment",
    )
    pitch: float | None = parameter(
        None,
        "m",
        "distance of neighbouring cells, the length of a segment; None for twice the wire's width",
        within=(1e-9, 1e-3),
        remedy="80e-9 is 80 nm",
    )
    word_line: float | None = parameter(
        None,
        "ohm",
        "resistance of one segment of a word line, if it differs",
        at_least=0,
    )
    bit_line: float | None = parameter(
        None,
        "ohm",
        "resistance of one segment of a bit line, if it differs",
        at_least=0,
    )
    driver: float = parameter(
        0.0, "ohm", "resistance of the source that drives a word line", at_least=0
    )
    sense: float = parameter(
        0.0, "ohm", "resistance between a bit line and its virtual ground", at_least=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.node is not None and self.segment is not None:
            raise ConfigError(
                f"{type(self).__name__}: segment={self.segment!r} and node={self.node!r}; "
                "expected one of the two"
            )
        if self.pitch is not None and self.node is None:
            raise ConfigError(
                f"{type(self).__name__}: pitch={self.pitch!r} without a node; expected node=... "
                "in nm"
            )

    @property
    def segment_resistance(self) -> float:
        """Resistance of a segment in ohm where `word_line` and `bit_line` say nothing else."""
        if self.node is None:
            return 1.0 if self.segment is None else self.segment
        metal = METALS[self.node]
        return metal.segment(2 * metal.width if self.pitch is None else self.pitch)

    @property
    def resistances(self) -> tuple[float, float]:
        """Resistance in ohm of a segment of the word lines and of the bit lines."""
        word = self.segment_resistance if self.word_line is None else self.word_line
        bit = self.segment_resistance if self.bit_line is None else self.bit_line
        return word, bit

    def wires(self) -> Wires:
        """The wires as the solvers want them."""
        word, bit = self.resistances
        return Wires(
            word_line=word,
            bit_line=bit,
            driver=self.driver,
            sense=self.sense,
        )
