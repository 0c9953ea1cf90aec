"""The voltage between the samples of a measurement, of which a file says nothing."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from memcore.errors import ConfigError
from memcore.fitting.measurements import IVData

#: Intervals between samples that differ by less than this share count as equal.
UNIFORM: Final = 0.01
_MOST_STEPS: Final = 10_000_000  #: of a resampled waveform
_FEWEST: Final = 10  #: points of a grid


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What happens to a cell between two samples, of which a file of numbers says nothing.

    Args:
        substeps: number of steps between two samples.
        linear: whether the voltage goes straight from one sample to the next, or is held.
        series: resistance in series in ohm.
        limit: current limit in A, None for none.
        lowered: whether the voltage across the cell falls where the current is limited; otherwise
            the voltage of the data is that of the cell. Samples at the limit are not compared.
    """

    substeps: int = 1
    linear: bool = False
    series: float = 0.0
    limit: float | None = None
    lowered: bool = False

    def __str__(self) -> str:
        said = ["straight lines between the voltages" if self.linear else "held voltages"]
        if self.limit is not None:
            said.append(
                "voltages that fall where the current is limited"
                if self.lowered
                else "voltages of the cell itself"
            )
        return ", ".join(said)


def interval(time: Tensor, resample: bool | float) -> tuple[float, bool]:
    """The duration of a step in s, and whether the samples are uneven."""
    step = time.diff()
    median = float(step.median())
    worst = float((step / median - 1).abs().max())
    asked = not isinstance(resample, bool)
    if worst <= UNIFORM and not asked:
        return float(time[-1] - time[0]) / len(step), False
    if not resample:
        raise ConfigError(
            f"the samples are uneven: intervals from {float(step.min()):.4g} to "
            f"{float(step.max()):.4g} s, median {median:.4g} s; expected at most "
            f"{100 * UNIFORM:g} % between them, or resample=True for steps of the median, or "
            "resample=seconds"
        )
    return float(resample) if asked else median, True


def shared(at: Tensor, resample: bool | float) -> tuple[str, ...]:
    """Refuse a grid too coarse for the samples; say so if most of them share its points."""
    samples, points = len(at), 1 + int((at.diff() > 0).sum())
    grid = f"resample={resample!r} puts {samples} samples on {points} points of its grid"
    if points < min(_FEWEST, samples // 2 + 1):
        raise ConfigError(f"{grid}; expected fewer seconds, or True for the median interval")
    return (f"{grid}: their times are rounded to these",) if points < samples / 2 else ()


def waveform(data: IVData, dt: float, at: Tensor, uneven: bool, conditions: Conditions) -> Tensor:
    """The voltage of every step: the last sample's, or on the line to the next one."""
    voltage: Tensor = data.voltage
    total = int(at[-1]) + 1
    if total > _MOST_STEPS:
        raise ConfigError(
            f"{total} steps of {dt:.3g} s span these data, at most {_MOST_STEPS} may; expected a "
            "coarser resample=seconds, or a part of the record"
        )
    steps = torch.arange(total, device="cpu")
    if not conditions.linear:
        return voltage[torch.searchsorted(at, steps, right=True) - 1]
    if uneven:
        middle = dt * (steps.double() + 0.5)
        line = np.interp(middle.numpy(), (data.time - data.time[0]).numpy(), voltage.numpy())
        return torch.from_numpy(line)
    substeps = conditions.substeps
    left = (steps // substeps).clamp(max=len(voltage) - 2)
    share = (steps - left * substeps + 0.5) / substeps
    first, second = voltage[left], voltage[left + 1]
    straight: Tensor = first + (second - first) * share.clamp(max=1)
    return straight
