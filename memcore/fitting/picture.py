"""The picture of a fit."""

from typing import TYPE_CHECKING, Any

import numpy as np

from memcore.plot import axes as common

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from memcore.fitting.result import Fit


def draw(fit: "Fit") -> "Figure":
    """Draw data and model above, and their difference below."""
    figure = common.axes(None).get_figure(root=True)
    assert figure is not None
    figure.clear()
    figure.set_size_inches(5.0, 5.2)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1))
    _values(fit, upper)
    _differences(fit, lower)
    return figure


def _values(fit: "Fit", ax: "Axes") -> None:
    measured, unit = common.scaled(fit.measured, fit.unit)
    # In the unit of the data, whatever the model's largest value.
    predicted = fit.predicted.numpy() * (abs(measured).max() / float(fit.measured.abs().max()))
    x = (fit.abscissa if fit.voltage is None else fit.voltage).numpy()
    line = x
    if not _timed(fit):
        # One record after the other: no line from the end of one to the beginning of the next.
        apart = np.flatnonzero(np.abs(np.diff(x, prepend=x[0])) > 0.5 * np.ptp(x))
        line, predicted = (np.insert(values, apart, np.nan) for values in (x, predicted))
    ax.plot(x, measured, ".", markersize=3, color=common.COLOURS[0], label="measured")
    ax.plot(line, predicted, linewidth=1.2, color=common.COLOURS[1], label="model")
    pulses = fit.voltage is None
    ax.set_xlabel("pulses" if pulses else "voltage / V")
    ax.set_ylabel(f"{'conductance' if pulses else 'current'} / {unit}")
    ax.set_title(f"{fit.provenance['device']}, rms error {100 * fit.relative:.2g} %")
    ax.legend(frameon=False)


def _timed(fit: "Fit") -> bool:
    """Whether the samples follow each other in time, rather than record after record."""
    return fit.voltage is None or any(p.fitted for p in fit.parameters.values())


def _differences(fit: "Fit", ax: "Axes") -> None:
    difference, unit = common.scaled(fit.predicted - fit.measured, fit.unit)
    if fit.voltage is None:
        x, label = fit.abscissa.numpy(), "pulses"
    elif not _timed(fit):
        x, label = fit.voltage.numpy(), "voltage / V"
    else:
        x, second = common.scaled(fit.abscissa - fit.abscissa[0], "s")
        label = f"time / {second}"
    ax.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    style: dict[str, Any] = (
        {"linewidth": 0.8} if _timed(fit) else {"linestyle": "", "marker": ".", "markersize": 3}
    )
    ax.plot(x, difference, color=common.COLOURS[2], **style)
    ax.set(xlabel=label, ylabel=f"difference / {unit}")
