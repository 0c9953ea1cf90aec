"""What a solved crossbar looks like: currents of its cells, voltages along its lines."""

from typing import TYPE_CHECKING, Final, Literal

from memcore.circuit import Solution
from memcore.errors import ConfigError
from memcore.plot import axes as common

if TYPE_CHECKING:
    from matplotlib.axes import Axes

What = Literal["current", "word_line", "bit_line", "cell_voltage"]

_VIEWS: Final = {
    "current": ("cell_current", "A", "cell current"),
    "word_line": ("word_line", "V", "word-line voltage"),
    "bit_line": ("bit_line", "V", "bit-line voltage"),
    "cell_voltage": ("cell_voltage", "V", "voltage across a cell"),
}
_GRID: Final = 32  #: lines up to which cells are drawn apart
_VECTORS: Final = 4096  #: cells up to which each is a vector shape, beyond they are one picture


def crossbar(solution: Solution, what: What = "current", *, ax: "Axes | None" = None) -> "Axes":
    """A map of one array: word lines from top to bottom, driven at the left as drawn.

    Values of both signs have a scale that is symmetric about 0, so that white is nothing. The
    figure can be saved as PNG, PDF or SVG; text stays text in the latter two.

    Args:
        solution: of `Crossbar.solve` or `memcore.circuit.solve`, one vector and one array.
        what: the currents of the cells, the voltages of the nodes along word lines or bit lines,
            or the voltages between the two.
        ax: where to draw; in a new figure by default.

    Raises:
        ConfigError: there is no such view, or the solution is of several vectors or arrays.

    Examples:
        >>> ax = memcore.plot.crossbar(crossbar.solve(v), "word_line")  # doctest: +SKIP
        >>> ax.figure.savefig("word_lines.pdf")  # doctest: +SKIP
    """
    if what not in _VIEWS:
        raise ConfigError(f"what={what!r}; expected one of {', '.join(map(repr, _VIEWS))}")
    field, unit, label = _VIEWS[what]
    values = getattr(solution, field)
    if values.dim() != 2:
        raise ConfigError(
            f"the solution is of {list(values.shape[:-2])} vectors and arrays; expected one: "
            "select it by index, as solution[0]"
        )
    ax = common.axes(ax)
    shown, unit = common.scaled(values, unit)
    signed = bool((values < 0).any()) and bool((values > 0).any())
    largest = abs(shown).max()
    limits = {"vmin": -largest, "vmax": largest} if signed else {}
    rows, cols = shown.shape
    cells = ax.pcolormesh(
        shown,
        cmap="RdBu_r" if signed else "viridis",
        edgecolors="white" if max(rows, cols) <= _GRID else "none",
        linewidth=0.4,
        rasterized=rows * cols > _VECTORS,
        **limits,
    )
    ax.invert_yaxis()
    ax.set_aspect("equal")
    for axis, count in ((ax.xaxis, cols), (ax.yaxis, rows)):
        places = _places(count)
        axis.set_ticks([place + 0.5 for place in places], [str(place) for place in places])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="bit line", ylabel="word line")
    ax.figure.colorbar(cells, ax=ax, label=f"{label} / {unit}", shrink=0.9)
    return ax


def _places(count: int) -> list[int]:
    """Which lines have a number: the first, and every so many."""
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64, 128, 1 << 30) if count <= 9 * s)
    return list(range(0, count, step))
