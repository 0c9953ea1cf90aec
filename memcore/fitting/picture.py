"""The picture of a fit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from memcore.plot import axes as common

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """Data and model, as a picture shows them.

    Args:
        name: name of the device.
        unit: unit of the data, "A" or "S".
        relative: root mean square of the differences relative to that of the data.
        timed: whether the samples follow each other in time, rather than record after record.
        abscissa: time of each sample in s, or number of pulses given before each read.
        voltage: voltage of each sample in V; None for pulses.
        measured: measured values in A or S.
        predicted: values predicted by the model in A or S.
        abscissa_name: what the abscissa is, where there is no voltage.
    """

    name: str
    unit: str
    relative: float
    timed: bool
    abscissa: Tensor
    voltage: Tensor | None
    measured: Tensor
    predicted: Tensor
    abscissa_name: str = "pulses"


def draw(fit: Compared) -> "Figure":
    """Draw data and model above, and their difference below."""
    figure = common.axes(None).get_figure(root=True)
    assert figure is not None
    figure.clear()
    figure.set_size_inches(5.0, 5.2)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1))
    _values(fit, upper)
    _differences(fit, lower)
    return figure


def _values(fit: Compared, ax: "Axes") -> None:
    measured, unit = common.scaled(fit.measured, fit.unit)
    # In the unit of the data, whatever the model's largest value.
    predicted = fit.predicted.numpy() * (abs(measured).max() / float(fit.measured.abs().max()))
    x = (fit.abscissa if fit.voltage is None else fit.voltage).numpy()
    line = x
    if not fit.timed:
        # One record after the other: no line from the end of one to the beginning of the next.
        apart = np.flatnonzero(np.abs(np.diff(x, prepend=x[0])) > 0.5 * np.ptp(x))
        line, predicted = (np.insert(values, apart, np.nan) for values in (x, predicted))
    ax.plot(x, measured, ".", markersize=3, color=common.COLOURS[0], label="measured")
    ax.plot(line, predicted, linewidth=1.2, color=common.COLOURS[1], label="model")
    pulses = fit.voltage is None
    ax.set_xlabel(fit.abscissa_name if pulses else "voltage / V")
    ax.set_ylabel(f"{'conductance' if pulses else 'current'} / {unit}")
    ax.set_title(f"{fit.name}, rms error {100 * fit.relative:.2g} %")
    ax.legend(frameon=False)


def _differences(fit: Compared, ax: "Axes") -> None:
    difference, unit = common.scaled(fit.predicted - fit.measured, fit.unit)
    if fit.voltage is None:
        x, label = fit.abscissa.numpy(), fit.abscissa_name
    elif not fit.timed:
        x, label = fit.voltage.numpy(), "voltage / V"
    else:
        x, second = common.scaled(fit.abscissa - fit.abscissa[0], "s")
        label = f"time / {second}"
    ax.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    style: dict[str, Any] = (
        {"linewidth": 0.8} if fit.timed else {"linestyle": "", "marker": ".", "markersize": 3}
    )
    ax.plot(x, difference, color=common.COLOURS[2], **style)
    ax.set(xlabel=label, ylabel=f"difference / {unit}")
