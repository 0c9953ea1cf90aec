"""The conductance after each pulse: potentiation and depression."""

import math
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from memcore import _check
from memcore.dynamics.simulate import Trace
from memcore.errors import ConfigError
from memcore.plot import axes as common

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_SAMPLES: Final = 2**31  #: more than any waveform has


def pulse_response(
    trace: Trace,
    *,
    threshold: float = 0.0,
    width: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the conductance after each pulse, SET and RESET pulses in two colours and markers.

    Pulses of one sign need a gap between them, a sample or more within the threshold: without it
    they look as one long pulse, unless `width` says where it ends.

    Args:
        trace: trace of `simulate`, with all samples of a pulse train that all cells share.
        threshold: voltage in V beyond which a run of samples of one sign is a pulse, so that reads
            are none.
        width: duration of every pulse in s; a longer run is several pulses. Only pulses without
            gaps need it.
        ax: Axes to draw on; by default in a new figure.

    Raises:
        ConfigError: the trace lacks samples, each cell has a waveform of its own, there is no
            pulse, or pulses cannot be told apart.
    """
    common.need_trace(trace, 1, "a response")
    threshold = _check.number("threshold", threshold, unit="V")
    width = None if width is None else _check.number("width", width, unit="s", above=0)
    if trace.stride != 1:
        raise ConfigError(
            f"the trace has one of {trace.stride} samples, so pulses may be missing; "
            "simulate with record='all'"
        )
    if trace.voltage.dim() > 1:
        raise ConfigError(
            "the voltage differs from cell to cell; expected one waveform for all cells, [time]"
        )
    ends, signs = pulses(
        trace.voltage, threshold, None if width is None else _samples(trace, width)
    )
    if not len(ends):
        raise ConfigError(f"the voltage never exceeds threshold={threshold!r} V; expected pulses")
    after = torch.cat([trace.state, trace.final.unsqueeze(0)])[ends + 1].movedim(1, 0)
    ax = common.axes(ax)
    g, siemens = common.scaled(common.lines(trace.device.conductance(after)), "S")
    number = torch.arange(1, len(ends) + 1, device="cpu")
    style = common.colours(g.shape[1]) | {"linestyle": "", "markersize": 4, "fillstyle": "none"}
    kinds = ((1, "SET", "^", common.COLOURS[0]), (-1, "RESET", "v", common.COLOURS[1]))
    for sign, name, marker, colour in kinds:
        chosen = (signs * trace.device.polarity == sign).cpu()
        drawn = ax.plot(
            number[chosen].numpy(), g[chosen.numpy()], **style | {"color": colour, "marker": marker}
        )
        if drawn and bool(chosen.any()):
            drawn[0].set_label(name)
    ax.set(xlabel="pulse", ylabel=f"conductance / {siemens}")
    ax.set_title(type(trace.device).__name__)
    ax.legend(frameon=False)
    return ax


def pulses(voltage: Tensor, threshold: float, samples: int | None = None) -> tuple[Tensor, Tensor]:
    """The last sample of each pulse and its sign, int64 [pulses] each.

    Args:
        voltage: voltages in V, [time].
        threshold: voltage in V beyond which a sample belongs to a pulse.
        samples: number of samples of a pulse; None if there is a gap after each.

    Raises:
        ConfigError: pulses cannot be told apart.
    """
    sign = torch.where(voltage.abs() > threshold, voltage.sign(), 0)
    last = (sign != 0) & (torch.cat([sign[1:], sign.new_zeros(1)]) != sign)
    if samples is not None:
        last = _every(samples, sign, last)
    elif bool((sign != 0).all()) and not bool(last.all()):
        raise ConfigError(
            f"the voltage is never within threshold={threshold!r} V, and pulses without a gap look "
            "as one; expected a gap after each, a threshold above the reads, or width= of a pulse"
        )
    ends = last.nonzero().squeeze(1)
    return ends, sign[ends].long()


def _every(samples: int, sign: Tensor, last: Tensor) -> Tensor:
    """Whether a pulse ends at a sample, where runs are pulses of so many samples."""
    place = torch.arange(len(sign), device=sign.device)
    begins = torch.cat([sign.new_ones(1, dtype=torch.bool), sign[1:] != sign[:-1]])
    length = place - torch.where(begins, place, 0).cummax(0).values + 1
    ends = (sign != 0) & (length % samples == 0)
    if bool((last & ~ends).any()):
        wrong = int(length[last & ~ends][0])
        raise ConfigError(
            f"the voltage is beyond the threshold for {wrong} samples, but a pulse of this width "
            f"has {samples}; expected whole pulses"
        )
    return ends


def _samples(trace: Trace, width: float) -> int:
    dt = float(trace.time[1] - trace.time[0]) if len(trace.time) > 1 else width
    samples = round(width / dt) if 0 < width < math.inf else 0
    if not 1 <= samples <= _MOST_SAMPLES or abs(samples * dt - width) > 1e-6 * width:
        raise ConfigError(f"width={width!r} s; expected a whole number of samples of {dt:.6g} s")
    return samples
