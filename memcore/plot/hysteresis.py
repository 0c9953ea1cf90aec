"""The current-voltage loop, the fingerprint of a memristor."""

from typing import TYPE_CHECKING

from memcore.dynamics.simulate import Trace
from memcore.plot import axes as common

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def hysteresis(trace: Trace, *, log: bool = False, ax: "Axes | None" = None) -> "Axes":
    """Draw current against voltage, one line per cell.

    The title says if the trace has only some of the samples: choose `record` such that a period
    keeps many.

    Args:
        trace: trace of `simulate`.
        log: the magnitude of the current on a logarithmic axis.
        ax: Axes to draw on; by default in a new figure.

    Raises:
        ConfigError: the trace has fewer than two samples.
    """
    common.need_trace(trace, 2, "a loop")
    common.of_kind("log", log, bool, "True or False")
    ax = common.axes(ax)
    current, ampere = common.scaled(common.lines(trace.current), "A")
    voltage = common.lines(trace.voltage).detach().cpu().numpy()
    style = common.colours(current.shape[1])
    ax.plot(voltage, abs(current) if log else current, **style)
    if log:
        ax.set_yscale("log")
    else:
        ax.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    ax.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    ax.set(xlabel="voltage / V", ylabel=f"{'|current|' if log else 'current'} / {ampere}")
    ax.set_title(common.title(trace))
    return ax
