"""What the plots share: new Axes, and units with a prefix."""

import math
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor

from memcore._text import needed, shown
from memcore.dynamics.simulate import Trace
from memcore.errors import ArgumentTypeError, ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Okabe & Ito's colours, told apart by the colour-blind.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
#: Told apart without colours: line `k` has dash `k`.
DASHES: Final = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
MOST_CELLS: Final = 50  #: lines beyond this number tell nothing

_PREFIXES: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
_SMALL: Final = ((1e-9, "n"), (1e-12, "p"), (1e-15, "f"))


def axes(ax: "Axes | None") -> "Axes":
    """The given Axes, or new ones in a figure of their own.

    Raises:
        ConfigError: what is given is something else.
        MissingPackageError: matplotlib is not installed.
    """
    if ax is not None:
        if not callable(getattr(ax, "set_xlabel", None)):
            raise ConfigError(
                f"ax={shown(ax)}; expected Axes of matplotlib, fig.add_subplot() say, or None"
            )
        return ax
    # Without pyplot: no window, no global list of figures; notebooks show the figure all the same.
    needed("matplotlib.figure", "a plot")
    from memcore.plot.figure import TextFigure

    figure = TextFigure(figsize=(5.0, 3.6), layout="constrained")
    drawn: Axes = figure.add_subplot()
    return drawn


def scaled(values: Tensor, unit: str) -> tuple[Any, str]:
    """Values as an array in a unit whose prefix suits the largest of them, and that unit."""
    values = values.detach().cpu().double()
    finite = values[values.isfinite()].abs()
    largest = finite.max().item() if finite.numel() else 0.0
    every = (*_PREFIXES, *_SMALL)
    size, prefix = next(((s, p) for s, p in every if largest >= s), (1.0, ""))
    return (values / size).numpy(), f"{prefix}{unit}"


def lines(values: Tensor) -> Tensor:
    """One column for each of the cells, [rows, cells], of evenly chosen ones if they are many."""
    columns = values.reshape(values.shape[0], -1)
    step = math.ceil(columns.shape[1] / MOST_CELLS)
    return columns[:, ::step]


def colours(count: int) -> dict[str, Any]:
    """The style of one line, or of many that overlap."""
    if count == 1:
        return {"color": COLOURS[0], "linewidth": 1.4}
    return {"color": COLOURS[0], "linewidth": 0.8, "alpha": max(0.15, min(1.0, 5 / count))}


def of_kind(name: str, value: object, kinds: type | tuple[type, ...], remedy: str) -> None:
    """Refuse an argument of another type.

    Raises:
        ArgumentTypeError: it is of another one; `remedy` says what to do.
    """
    if not isinstance(value, kinds):
        every = kinds if isinstance(kinds, tuple) else (kinds,)
        names = " or ".join(kind.__name__ for kind in every)
        raise ArgumentTypeError(f"{name}={shown(value)}; expected a {names}: {remedy}")


def need_trace(trace: object, least: int, what: str) -> None:
    """Refuse what is no trace, or one that is too short to draw.

    Raises:
        ArgumentTypeError: it is no trace.
        ConfigError: with both numbers.
    """
    of_kind("trace", trace, Trace, "memcore.simulate returns one")
    assert isinstance(trace, Trace)
    rows = trace.current.shape[0]
    if rows < least:
        raise ConfigError(
            f"{what} needs at least {least} samples, but the trace has {rows}; "
            "simulate with record='all'"
        )


def title(trace: Trace) -> str:
    """The name of the device, and whether samples are left out."""
    name = type(trace.device).__name__
    return name if trace.stride == 1 else f"{name}, one of {trace.stride} samples"
