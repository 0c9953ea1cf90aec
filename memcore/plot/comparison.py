"""Figures of cost models over published ones, on one axis."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memcore.errors import ConfigError
from memcore.plot import axes as common
from memcore.report.gallery import ChipComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def comparison(chips: Sequence[ChipComparison], *, ax: "Axes | None" = None) -> "Axes":
    """Draw how many times larger or smaller each figure is than the published one.

    One row a figure, the first at the top; a dot on the line at 1 is equal.

    Args:
        chips: what `memcore.gallery` returns.
        ax: Axes to draw on; by default in a new figure.

    Raises:
        ConfigError: there is nothing to draw.
    """
    names = [f"{chip.name}: {each.name}" for chip in chips for each in chip.figures]
    if not names:
        raise ConfigError("there is no chip to draw; expected what memcore.gallery returns")
    ours = ax is None
    ax = common.axes(ax)
    if ours:
        ax.figure.set_size_inches(7.0, 1.0 + 0.2 * len(names))  # type: ignore[union-attr]
    row = 0
    for number, chip in enumerate(chips):
        ratios = [1 + each.difference for each in chip.figures]
        rows = range(row, row + len(ratios))
        colour = common.COLOURS[number % len(common.COLOURS)]
        ax.hlines(rows, [min(1.0, r) for r in ratios], [max(1.0, r) for r in ratios], colour)
        ax.plot(ratios, rows, "o", markersize=4, color=colour, label=chip.name)
        row += len(ratios)
    ax.axvline(1.0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlabel("memcore / published")
    return ax
