"""The panels of a study that show its metric against energy, time and area."""

from typing import TYPE_CHECKING, Any, Final

from memcore.study.decades import by_decades
from memcore.study.prices import FIGURES
from memcore.study.results import Results, name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Sizes and names of the units that a figure is drawn in, the largest first.
_UNITS: Final = {
    "energy": ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"), (1e-12, "pJ")),
    "time": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "area": ((1e-6, "mm²"), (1e-12, "µm²")),
}


def panels(grid: Any, results: Results, colours: Any, markers: Any) -> None:
    """Draw one line of panels for each cost model: the metric against energy, time and area.

    Points are told apart by their sweeps; a line joins those on the Pareto front.

    Args:
        grid: Axes [cost models, 3].
        results: results with prices.
        colours: colours of the sweeps, in turn.
        markers: markers of the sweeps, in turn.
    """
    factor = 100 if results.kind.is_share else 1
    models = next(iter(results.prices.values()))
    for line, model in zip(grid, models, strict=True):
        for axes, figure in zip(line, FIGURES, strict=True):
            priced = _priced(results, model.model, figure)
            largest = max(x for _, x, _, _ in priced)
            size, unit = next(
                (u for u in _UNITS[figure] if largest >= 0.1 * u[0]), _UNITS[figure][-1]
            )
            priced = [(name, x / size, y, on) for name, x, y, on in priced]
            for number, sweep in enumerate(results.study.sweep):
                chosen = [(x, factor * y) for name, x, y, _ in priced if name == sweep.name]
                axes.plot(
                    *(
                        [x for x, _ in chosen],
                        [y for _, y in chosen],
                        markers[number % len(markers)],
                    ),
                    color=colours[number % len(colours)],
                    label=sweep.title or sweep.name,
                    ms=4.8,
                    mec="white",
                    mew=0.8,
                )
            _front(axes, [(x, factor * y) for _, x, y, on in priced if on])
            if max(x for _, x, _, _ in priced) > 3 * min(x for _, x, _, _ in priced) > 0:
                by_decades(axes)
            else:
                axes.locator_params(axis="x", nbins=5)
                axes.ticklabel_format(axis="x", useOffset=False)
            axes.set_xlabel(f"{figure} ({unit})")
            axes.set_title(f"{figure} of an inference by {model.model}", loc="left")
    grid[0][-1].legend(fontsize=7.5, loc="best")


def _front(axes: "Axes", points: list[tuple[float, float]]) -> None:
    points.sort()
    axes.step(
        *([x for x, _ in points], [y for _, y in points]),
        where="post",
        color="#222222",
        lw=1.0,
        label="Pareto front",
        zorder=1,
    )


def _priced(results: Results, model: str, figure: str) -> list[tuple[str, float, float, bool]]:
    """Sweep, price, metric, and whether it is on the front, of each point."""
    fronts = results.fronts
    found = []
    for row in results:
        prices = {each.model: each for each in results.prices.get(name_of(row), ())}
        if model in prices:
            on = fronts.has(name_of(row), model, figure)
            found.append((row.sweep, getattr(prices[model], figure), row.mean, on))
    return found
