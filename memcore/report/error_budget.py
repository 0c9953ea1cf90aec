"""The error budget: what each effect and each approximation costs, and each component."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from memcore._text import aligned
from memcore.report.cost_report import CostReport

#: Share of clipped values from which it is shown.
_SHOWN = 1e-3


@dataclass(frozen=True)
class Effect:
    """One line of an error budget.

    Args:
        name: of the effect.
        alone: the metric with this effect only.
        without: the metric with all others.
        acts: whether it changed any output, beyond rounding.
    """

    name: str
    alone: float
    without: float
    acts: bool


@dataclass(frozen=True)
class Approximation:
    """How far an approximate effect is from the exact one.

    Args:
        name: of the effect.
        exact: the metric with the exact effect in its place.
        error: root mean square of the difference of the outputs, relative to that of the outputs.
    """

    name: str
    exact: float
    error: float


@dataclass(frozen=True)
class Diagnosis:
    """What each effect costs, and each component; `str()` is a table.

    Args:
        digital: the metric of the digital network.
        ideal: of the arrays with all effects off.
        actual: of the arrays as configured.
        effects: one entry for each configured effect.
        approximations: one entry for each configured effect that approximates another one.
        clipped: share of the values that converters clip, by the name of the matrix and "DAC" or
            "ADC", of the chip in hand.
        costs: what reading all batches costs by component; None if it is not known.
        unpriced: why it is not known; "" if nobody asked.
    """

    digital: float
    ideal: float
    actual: float
    effects: tuple[Effect, ...]
    approximations: tuple[Approximation, ...] = ()
    clipped: Mapping[tuple[str, str], float] = field(default_factory=dict)
    costs: CostReport | None = None
    unpriced: str = ""

    def __str__(self) -> str:
        rows = [("effect", "alone", "cost alone", "left out", "gain left out", "")]
        for effect in self.effects:
            rows.append(
                (
                    effect.name,
                    f"{effect.alone:.4g}",
                    f"{self.ideal - effect.alone:+.4g}",
                    f"{effect.without:.4g}",
                    f"{effect.without - self.actual:+.4g}",
                    "" if effect.acts else "changed nothing",
                )
            )
        head = (
            f"digital {self.digital:.4g}, ideal arrays {self.ideal:.4g}, "
            f"as configured {self.actual:.4g}"
        )
        notes = [
            f"{each.name} approximates: solved exactly, outputs differ by {100 * each.error:.2g} % "
            f"(root mean square) and the metric is {each.exact:.4g}"
            for each in self.approximations
        ]
        clips = [
            f"the {kind} of {name or 'the model'} clips {100 * share:.3g} % of its values"
            for (name, kind), share in self.clipped.items()
            if share > _SHOWN
        ]
        return "\n".join([head, *aligned(rows), *notes, *clips, *self._costs()])

    def _costs(self) -> Iterator[str]:
        if self.costs is not None:
            yield from ("", *self.costs.by_component())
        elif self.unpriced:
            yield f"no costs are known: {self.unpriced}"
