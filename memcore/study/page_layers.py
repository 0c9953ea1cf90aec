"""The parts of a report about one chip: its error budget, and the cost of its layers."""

from collections.abc import Iterator

from memcore._text import scaled
from memcore.pages.markup import Html, tag
from memcore.pages.table import Cell, Column, table
from memcore.report.cost_report import CostReport
from memcore.report.error_budget import Diagnosis

_EFFECTS = (
    Column("effect", "effect"),
    Column("alone", "metric alone", True),
    Column("cost", "cost alone", True),
    Column("without", "metric without it", True),
    Column("gain", "gain without it", True),
    Column("note", "remark"),
)
_LAYERS = (
    Column("layer", "layer"),
    Column("energy", "energy (J)", True),
    Column("time", "time (s)", True),
    Column("area", "area (m²)", True),
)


def budget(diagnosis: Diagnosis | None) -> Iterator[Html]:
    """The section of what each effect costs; nothing without a diagnosis."""
    if diagnosis is None:
        return
    rows = [
        [
            Cell(each.name),
            _number(each.alone),
            _number(diagnosis.ideal - each.alone),
            _number(each.without),
            _number(each.without - diagnosis.actual),
            Cell("" if each.acts else "changed nothing"),
        ]
        for each in diagnosis.effects
    ]
    clips = [
        tag("li", f"The {kind} of {name or 'the model'} clips {100 * share:.3g} % of its values.")
        for (name, kind), share in diagnosis.clipped.items()
        if share > 0
    ]
    head = (
        f"The metric is {diagnosis.digital:.4g} of the digital network, {diagnosis.ideal:.4g} of "
        f"ideal arrays and {diagnosis.actual:.4g} of the arrays as configured."
    )
    yield tag(
        "section",
        tag("h2", "What each effect costs"),
        tag("p", head),
        table("effects", "What each effect costs", _EFFECTS, rows),
        tag("h3", "Converters, layer by layer") if clips else None,
        tag("ul", clips) if clips else None,
        id="budget",
    )


def costs(cost: CostReport | None) -> Iterator[Html]:
    """The section of what each layer costs; nothing without a cost."""
    if cost is None:
        return
    rows = [
        [
            Cell(layer.name or "(the model)"),
            Cell(scaled(layer.cost.energy, "J"), layer.cost.energy),
            Cell(scaled(layer.cost.time, "s"), layer.cost.time),
            Cell(scaled(layer.cost.area, "m^2").replace("^2", "²"), layer.cost.area),
        ]
        for layer in cost.layers
    ]
    missing = "; ".join(cost.leaves_out)
    yield tag(
        "section",
        tag("h2", "What each layer costs"),
        tag("p", f"Cost model {cost.model}, for the whole input that was priced."),
        table("layers", "What each layer costs", _LAYERS, rows),
        tag("p", f"Not modelled: {missing}.", class_="note") if missing else None,
        id="layers",
    )


def _number(value: float) -> Cell:
    return Cell(f"{value:.4g}", value)
