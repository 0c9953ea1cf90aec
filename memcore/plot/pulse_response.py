"""The conductance after each pulse: potentiation and depression."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from memcore.dynamics import Trace
from memcore.errors import ConfigError
from memcore.plot import axes as common

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pulse_response(trace: Trace, *, threshold: float = 0.0, ax: "Axes | None" = None) -> "Axes":
    """Conductance after each pulse against its number, SET and RESET pulses in two colours.

    Args:
        trace: from `simulate`, with all samples of a pulse train that all cells share.
        threshold: V; a pulse is a run of samples of one sign beyond it, so that reads are none.
        ax: where to draw; in a new figure by default.

    Raises:
        ConfigError: each cell has a waveform of its own, or there is no pulse.
    """
    if trace.voltage.dim() > 1:
        raise ConfigError("a pulse response needs one waveform for all cells, voltage [time]")
    ends, signs = pulses(trace.voltage, threshold)
    if not len(ends):
        raise ConfigError(f"the voltage never exceeds threshold={threshold!r} V; expected pulses")
    after = torch.cat([trace.state, trace.final.unsqueeze(0)])[ends + 1].movedim(1, 0)
    ax = common.axes(ax)
    g, siemens = common.scaled(common.lines(trace.device.conductance(after)), "S")
    number = torch.arange(1, len(ends) + 1)
    style = common.colours(g.shape[1]) | {"linestyle": "", "marker": ".", "markersize": 4}
    for sign, name, colour in ((1, "SET", common.COLOURS[0]), (-1, "RESET", common.COLOURS[1])):
        chosen = (signs * trace.device.polarity == sign).cpu()
        drawn = ax.plot(number[chosen].numpy(), g[chosen.numpy()], **style | {"color": colour})
        if drawn and bool(chosen.any()):
            drawn[0].set_label(name)
    ax.set(xlabel="pulse", ylabel=f"conductance / {siemens}")
    ax.set_title(type(trace.device).__name__)
    ax.legend(frameon=False)
    return ax


def pulses(voltage: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The last sample of each pulse and its sign, int64 [pulses] each."""
    sign = torch.where(voltage.abs() > threshold, voltage.sign(), 0)
    following = torch.cat([sign[1:], sign.new_zeros(1)])
    ends = ((sign != 0) & (following != sign)).nonzero().squeeze(1)
    return ends, sign[ends].long()
