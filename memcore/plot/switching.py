"""The resistance of a device and its voltage in time."""

from typing import TYPE_CHECKING

from memcore.dynamics.simulate import Trace
from memcore.plot import axes as common

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def switching(trace: Trace, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the resistance against time, one line per cell, over the voltage in grey.

    The title says if the trace has only some of the samples: pulses between them are not drawn.

    Args:
        trace: trace of `simulate`.
        ax: Axes to draw on; by default in a new figure. The voltage has Axes of its own, its twin.

    Raises:
        ConfigError: the trace has fewer than two samples.
    """
    common.need_trace(trace, 2, "switching")
    ax = common.axes(ax)
    time, second = common.scaled(trace.time, "s")
    resistance, ohm = common.scaled(common.lines(1 / trace.conductance), "Ω")
    twin = ax.twinx()
    voltage = common.lines(trace.voltage).detach().cpu().numpy()[:, :1]
    twin.plot(time, voltage, color="0.75", linewidth=0.8)
    twin.set_ylabel("voltage / V", color="0.5")
    ax.set_zorder(twin.get_zorder() + 1)
    ax.patch.set_visible(False)
    ax.plot(time, resistance, **common.colours(resistance.shape[1]))
    ax.set(xlabel=f"time / {second}", ylabel=f"resistance / {ohm}")
    ax.set_title(common.title(trace))
    return ax
