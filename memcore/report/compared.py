"""`compare_costs`: what a network costs before and after it was made smaller."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from memcore._text import aligned, scaled
from memcore.contracts.cost import Cost
from memcore.crossbar.config import CrossbarConfig
from memcore.nn.feeding import Batches, Forward, again
from memcore.registry.specs import PluginSpec
from memcore.report.cost import cost
from memcore.report.cost_report import CostReport


@dataclass(frozen=True)
class CostComparison:
    """What `memcore.compare_costs` found; `str()` is a table.

    Args:
        before: cost of the first network.
        after: cost of the second one.
    """

    before: CostReport
    after: CostReport

    @property
    def arrays(self) -> tuple[int, int]:
        """Simulated arrays of all layers before and after, 0 of models that simulate none."""
        before, after = (sum(_arrays(report).values()) for report in (self.before, self.after))
        return before, after

    @property
    def energy(self) -> float:
        """Energy after, as a share of that before."""
        return _share(self.after.total.energy, self.before.total.energy)

    @property
    def time(self) -> float:
        """Time after, as a share of that before."""
        return _share(self.after.total.time, self.before.total.time)

    @property
    def area(self) -> float:
        """Area after, as a share of that before."""
        return _share(self.after.total.area, self.before.total.area)

    def __str__(self) -> str:
        head = ("layer", "arrays", "energy", "time", "area")
        total = (self.before.total, self.after.total)
        rows = [*self._layers(), _row("total", self.arrays, total)]
        shares = (
            f"{_percent(self.energy)} of the energy, {_percent(self.time)} of the time and "
            f"{_percent(self.area)} of the area are left"
        )
        return "\n".join([f"cost model {self.before.model!r}", *aligned([head, *rows]), shares])

    def _layers(self) -> Iterator[tuple[str, ...]]:
        costs = [{each.name: each.cost for each in r.layers} for r in (self.before, self.after)]
        arrays = [_arrays(report) for report in (self.before, self.after)]
        for name in dict.fromkeys(name for each in costs for name in each):
            counts = (arrays[0].get(name, 0), arrays[1].get(name, 0))
            pair = (costs[0].get(name, Cost()), costs[1].get(name, Cost()))
            yield _row(name or "(the model)", counts, pair)


def compare_costs(
    before: nn.Module,
    after: nn.Module,
    inputs: Batches,
    *,
    model: PluginSpec = "components",
    crossbar: CrossbarConfig | None = None,
    forward: Forward | None = None,
    **parameters: Any,
) -> CostComparison:
    """What two networks cost on the same inputs, say before and after `memcore.compress`.

    Only what is smaller costs less: layers whose channels `remove_unused` took out have fewer word
    lines and bit lines, while weights that are merely zero have cells.

    Args:
        before: a network.
        after: another one that takes the same inputs.
        inputs: as of `memcore.cost`.
        model: the cost model, as of `memcore.cost`.
        crossbar: how to convert digital networks for a model that needs arrays.
        forward: as of `memcore.cost`.
        **parameters: of the model.

    Raises:
        ConversionError: a network cannot be priced.
        ConfigError: the model or a parameter does not fit.

    Examples:
        >>> config = memcore.CrossbarConfig(device="ideal", tile=(4, 4))
        >>> wide, narrow = nn.Linear(8, 8), nn.Linear(8, 4)
        >>> found = memcore.compare_costs(wide, narrow, torch.ones(1, 8), crossbar=config)
        >>> found.arrays
        (8, 4)
    """
    batches = again(inputs)
    settings = {"model": model, "crossbar": crossbar, "forward": forward, **parameters}
    one, other = (cost(network, batches, **settings) for network in (before, after))
    return CostComparison(one, other)


def _arrays(report: CostReport) -> dict[str, int]:
    """Simulated arrays by layer."""
    return {
        layer.name: layer.work.array.arrays
        for layer in report.layers
        if layer.work.array is not None
    }


def _share(after: float, before: float) -> float:
    return after / before if before else 1.0


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _row(name: str, arrays: tuple[int, int], costs: tuple[Cost, Cost]) -> tuple[str, ...]:
    one, other = costs
    return (
        name,
        f"{arrays[0]} -> {arrays[1]}",
        f"{scaled(one.energy, 'J')} -> {scaled(other.energy, 'J')}",
        f"{scaled(one.time, 's')} -> {scaled(other.time, 's')}",
        f"{scaled(one.area, 'm^2')} -> {scaled(other.area, 'm^2')}",
    )
