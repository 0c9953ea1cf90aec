"""Maps of a solved crossbar: the currents of its cells, the voltages along its lines."""

from typing import TYPE_CHECKING, Any, Final, Literal

from torch import Tensor

from memcore.circuit import Drive, Solution
from memcore.contracts.wires import Wires
from memcore.errors import ConfigError
from memcore.plot import axes as common

if TYPE_CHECKING:
    from matplotlib.axes import Axes

What = Literal["current", "word_line", "bit_line", "cell_voltage", "loss"]

_VIEWS: Final = {
    "current": ("cell_current", "A", "cell current"),
    "word_line": ("word_line", "V", "word-line voltage"),
    "bit_line": ("bit_line", "V", "bit-line voltage"),
    "cell_voltage": ("cell_voltage", "V", "voltage across a cell"),
    "loss": ("cell_voltage", "V", "voltage lost before a cell"),
}
#: What a drive says of word lines and of bit lines.
_ENDS: Final = (("word_line", "floating_word_lines"), ("bit_line", "floating_bit_lines"))
_GRID: Final = (
    32  #: lines up to which cells are drawn apart, and each end is marked if all are driven
)
_VECTORS: Final = 1024  #: cells up to which each is a vector shape, beyond they are one picture
_BOTH: Final = 0.02  #: part of the larger sign from which the smaller one has colours of its own


def crossbar(
    solution: Solution,
    what: What = "current",
    *,
    drive: Drive | None = None,
    wires: Wires | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a map of one array: word lines from top to bottom, bit lines from left to right.

    Triangles mark where word lines are driven and where bit lines are sensed. Values of both signs
    have a scale that is symmetric about 0, so that white is nothing, unless one sign stays below
    2 % of the other. The figure can be saved as PNG, PDF or SVG. Text stays text in the latter two,
    and so do maps of up to 1024 cells stay vectors; give `savefig` a dpi for larger ones.

    Args:
        solution: solution of `Crossbar.solve` or `memcore.circuit.solve`, one vector and one array.
        what: the currents of the cells, the voltages of the nodes along word lines or bit lines,
            those between the two, or the loss: what is applied less the voltage of the cell.
        drive: applied voltages of one vector, for the loss; lines that float have no marks.
        wires: wires, of which the ends that are driven and sensed count; by default those at the
            left and the bottom.
        ax: Axes to draw on; by default in a new figure.

    Raises:
        ConfigError: there is no such view, the loss has no drive, or the solution or the drive is
            of several vectors or arrays.

    Examples:
        >>> ax = memcore.plot.crossbar(crossbar.solve(v), "word_line")  # doctest: +SKIP
        >>> ax.figure.savefig("word_lines.pdf")  # doctest: +SKIP
    """
    common.of_kind("solution", solution, Solution, "memcore.circuit.solve returns one")
    if not isinstance(what, str) or what not in _VIEWS:
        raise ConfigError(f"what={what!r}; expected one of {', '.join(map(repr, _VIEWS))}")
    for name, value, kind in (("drive", drive, Drive), ("wires", wires, Wires)):
        if value is not None:
            common.of_kind(name, value, kind, f"the {name} of the solution")
    field, unit, label = _VIEWS[what]
    values = getattr(solution, field)
    if values.dim() != 2:
        raise ConfigError(
            f"the solution is of {list(values.shape[:-2])} vectors and arrays; expected one: "
            "select it by index, as solution[0]"
        )
    if drive is not None:
        _require_one(drive, tuple(values.shape))
    if what == "loss":
        values = _applied(drive, values) - values
    ax = common.axes(ax)
    shown, unit = common.scaled(values, unit)
    _map(ax, shown, f"{label} / {unit}")
    _mark(ax, tuple(values.shape), drive, wires or Wires())
    return ax


def _require_one(drive: Drive, shape: tuple[int, ...]) -> None:
    """Refuse a drive that is not one vector for the lines of the array."""
    for names, count in zip(_ENDS, shape, strict=True):
        for name in names:
            value = getattr(drive, name)
            if value is not None and value.shape != (count,):
                raise ConfigError(
                    f"drive.{name} has shape {list(value.shape)}; expected [{count}], one vector"
                )


def _applied(drive: Drive | None, like: Tensor) -> Tensor:
    """The voltages between the ends of the lines of each cell in V, NaN where one floats."""
    if drive is None:
        raise ConfigError("the loss is relative to what is applied; expected drive=...")
    ends = []
    for volts, floats, count in (
        (drive.word_line, drive.floating_word_lines, like.shape[0]),
        (drive.bit_line, drive.floating_bit_lines, like.shape[1]),
    ):
        end = like.new_zeros(count) if volts is None else volts
        ends.append(end if floats is None else end.masked_fill(floats, float("nan")))
    return ends[0][:, None] - ends[1]


def _map(ax: "Axes", shown: Any, label: str) -> None:
    low, high = _limits(shown)
    rows, cols = shown.shape
    cells = ax.pcolormesh(
        shown,
        cmap="RdBu_r" if low == -high else "viridis",
        vmin=low,
        vmax=high,
        edgecolors="white" if max(rows, cols) <= _GRID else "none",
        linewidth=0.4,
        rasterized=rows * cols > _VECTORS,
    )
    ax.set_facecolor("0.85")
    ax.invert_yaxis()
    ax.set_aspect("equal")
    for axis, count in ((ax.xaxis, cols), (ax.yaxis, rows)):
        places = _places(count)
        axis.set_ticks([place + 0.5 for place in places], [str(place) for place in places])
    ax.tick_params(length=0, pad=8)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="bit line", ylabel="word line")
    width = 0.04 * max(rows, cols) / cols
    bar = ax.inset_axes((1 + 1.2 * width, 0, width, 1))
    ax.figure.colorbar(cells, cax=bar, label=label).outline.set_visible(False)


def _limits(shown: Any) -> tuple[float, float]:
    """The ends of the scale, symmetric about 0 where there are both signs."""
    finite = shown[abs(shown) < float("inf")]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    if low < -_BOTH * high and high > -_BOTH * low:
        return -max(-low, high), max(-low, high)
    return low, high


def _mark(ax: "Axes", shape: tuple[int, ...], drive: Drive | None, wires: Wires) -> None:
    """Draw triangles in the direction of the currents at the ends of the lines."""
    masks = (drive.floating_word_lines, drive.floating_bit_lines) if drive else (None, None)
    gap = 0.016
    ends = (
        (0, wires.drive != "right", -gap, ">"),
        (0, wires.drive != "left", 1 + gap, "<"),
        (1, wires.sense_at != "top", -gap, "v"),
        (1, wires.sense_at != "bottom", 1 + gap, "^"),
    )
    for lines, wanted, at, marker in ends:
        count, floating = shape[lines], masks[lines]
        places = [k + 0.5 for k in _marked(count, floating)]
        if not wanted or not places:
            continue
        where: Any = ([at] * len(places), places) if lines == 0 else (places, [at] * len(places))
        transform = ax.get_yaxis_transform() if lines == 0 else ax.get_xaxis_transform()
        ax.plot(
            *where,
            linestyle="",
            marker=marker,
            markersize=3.5,
            color=common.COLOURS[1 - lines],
            transform=transform,
            clip_on=False,
        )


def _marked(count: int, floating: Tensor | None) -> list[int]:
    """The driven lines; if those are all, and too many to be told apart, the ones with a number."""
    if floating is not None and bool(floating.any()):
        return [k for k, open_end in enumerate(floating.tolist()) if not open_end]
    return list(range(count)) if count <= _GRID else _places(count)


def _places(count: int) -> list[int]:
    """The lines that have a number: the first one, and further ones at equal distances."""
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64, 128, 1 << 30) if count <= 9 * s)
    return list(range(0, count, step))
