"""`TrainingReport`: what training in place did to each matrix, and what it took."""

from dataclasses import dataclass, field

from memcore._text import aligned, scaled
from memcore.contracts.cost import Activity


@dataclass(frozen=True, kw_only=True)
class MatrixTraining:
    """What training did to one matrix.

    Args:
        name: of the matrix.
        granularity: mean change of a weight by one pulse, in weights.
        pulses: on the cells of all its arrays.
        cycles: write cycles of a mean cell of the network's array, its pulses counted as ways over
            the whole window and back.
        energy: J that the pulses took, each cell a resistor; NaN if the device has no pulse of
            a voltage and a duration.
        time: s that the pulses took, those of a slot at the same time.
        figures: numbers of the rule by name: `wanted` pulses of the largest product of a vector,
            `slots` of its train, the share of vectors that were `clipped`, rates, transfers; the
            `additions` of its digital memory so far.
    """

    name: str
    granularity: float
    pulses: int
    cycles: float
    energy: float
    time: float
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def additions(self) -> int:
        """Digital additions of the rule to its memory, those of a rule that says so."""
        return int(self.figures.get("additions", 0))

    @property
    def activity(self) -> Activity:
        """Pulses and additions, which `CostModel.estimate` prices; reads are counted elsewhere."""
        return Activity(
            pulses=self.pulses,
            shift_adds=self.additions,
            programming_energy=self.energy,
            programming_time=self.time,
        )


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """What training in place did and took; `str()` is a table.

    Args:
        rule: name of the class of the rule.
        lr: learning rate now.
        steps: steps so far.
        matrices: one record for each matrix.
    """

    rule: str
    lr: float
    steps: int
    matrices: tuple[MatrixTraining, ...]

    @property
    def pulses(self) -> int:
        """All pulses."""
        return sum(each.pulses for each in self.matrices)

    @property
    def additions(self) -> int:
        """All digital additions of the rule to its memories."""
        return sum(each.additions for each in self.matrices)

    @property
    def energy(self) -> float:
        """Energy of all pulses in J."""
        return sum(each.energy for each in self.matrices)

    @property
    def time(self) -> float:
        """Time of the pulses in s, all matrices at the same time."""
        return max((each.time for each in self.matrices), default=0.0)

    def __str__(self) -> str:
        names = list(dict.fromkeys(name for each in self.matrices for name in each.figures))
        head = ("matrix", "granularity", "pulses", "cycles", "energy", "time", *names)
        lines = aligned([head, *(_row(each, names) for each in self.matrices)])
        total = f"{self.pulses:,} pulses, {scaled(self.energy, 'J')}, {scaled(self.time, 's')}"
        return "\n".join(
            [f"{self.rule}, lr {self.lr:g}, {self.steps:,} steps", *lines, f"together {total}"]
        )


def _row(each: MatrixTraining, names: list[str]) -> tuple[str, ...]:
    return (
        each.name or "the layer",
        f"{each.granularity:.3g}",
        f"{each.pulses:,}",
        f"{each.cycles:.3g}",
        scaled(each.energy, "J"),
        scaled(each.time, "s"),
        *(f"{each.figures[name]:.4g}" if name in each.figures else "" for name in names),
    )
