"""Voltage waveforms [time] in volt, sampled every `dt` seconds, for `simulate`.

Sample k is held from `k dt` to `(k + 1) dt`. Sweeps take the voltage in the middle of that
interval, so that holding it costs an error of second order in `dt` only, and end at the nearest
sample. Pulses are exact: their widths and gaps must be whole numbers of samples.
"""

import math
from numbers import Integral
from typing import Final

import torch
from torch import Tensor

from memcore.errors import ConfigError

_LEAST: Final = 4  #: samples of a period: each quarter of a sweep has one
_ROUNDING: Final = 1e-6  #: share by which widths and gaps may miss a whole number of samples


def sine(
    amplitude: float,
    frequency: float,
    *,
    dt: float,
    periods: float = 1.0,
    offset: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A sine that begins at `offset` and rises for a positive amplitude.

    Args:
        amplitude: amplitude in V.
        frequency: frequency in Hz.
        dt: time between two samples in s, at most a quarter of a period.
        periods: number of periods.
        offset: mean voltage in V.
        dtype: dtype of the result.

    Raises:
        ConfigError: a number that must be positive is not, or there are fewer than four samples in
            a period.
    """
    turns = _turns(frequency, periods, dt)
    return (amplitude * torch.sin(2 * math.pi * turns) + offset).to(dtype)


def triangle(
    amplitude: float,
    frequency: float,
    *,
    dt: float,
    periods: float = 1.0,
    negative: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A sweep 0, amplitude, 0, negative, 0 at constant speed in each of its halves.

    Args:
        amplitude: peak voltage of the first half in V; negative to begin downwards.
        frequency: frequency in Hz.
        dt: time between two samples in s, at most a quarter of a period.
        periods: number of periods.
        negative: peak voltage of the second half in V; `-amplitude` by default.
        dtype: dtype of the result.

    Raises:
        ConfigError: a number that must be positive is not, or there are fewer than four samples in
            a period.
    """
    turns = _turns(frequency, periods, dt) % 1
    shape = 1 - (4 * (turns % 0.5) - 1).abs()
    second = -amplitude if negative is None else negative
    return torch.where(turns < 0.5, amplitude * shape, second * shape).to(dtype)


def pulse_train(
    amplitude: float,
    count: int,
    *,
    width: float,
    gap: float,
    dt: float,
    read: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """`count` times a rectangular pulse and the pause after it.

    Args:
        amplitude: amplitude in V.
        count: number of pulses.
        width: duration of a pulse in s; a whole number of samples, at least one.
        gap: time between the end of a pulse and the next one in s; a whole number of samples. With
            0 the pulses are one long pulse.
        dt: time between two samples in s.
        read: voltage during the gaps in V.
        dtype: dtype of the result.

    Raises:
        ConfigError: a number does not fit.
    """
    if gap < 0:
        raise ConfigError(f"gap={gap!r}; expected seconds >= 0")
    on = torch.full((_whole("width", width, dt),), float(amplitude), dtype=dtype)
    off = torch.full((_whole("gap", gap, dt) if gap else 0,), float(read), dtype=dtype)
    return torch.cat([on, off]).repeat(_count("count", count))


def ltp_ltd(
    potentiation: float,
    depression: float,
    pulses: int,
    *,
    width: float,
    gap: float,
    dt: float,
    cycles: int = 1,
    read: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Long-term potentiation and depression: `pulses` identical pulses up, then as many down.

    Args:
        potentiation: amplitude in V that raises the conductance (see the polarity of the device).
        depression: amplitude in V that lowers the conductance.
        pulses: number of pulses of each kind.
        width: duration of a pulse in s; a whole number of samples.
        gap: time after each pulse in s; a whole number of samples.
        dt: time between two samples in s.
        cycles: number of repetitions of the whole train.
        read: voltage during the gaps in V.
        dtype: dtype of the result.

    Raises:
        ConfigError: a number does not fit.
    """
    both = [
        pulse_train(v, pulses, width=width, gap=gap, dt=dt, read=read, dtype=dtype)
        for v in (potentiation, depression)
    ]
    return torch.cat(both).repeat(_count("cycles", cycles))


def staircase(
    start: float,
    stop: float,
    steps: int,
    *,
    width: float,
    dt: float,
    gap: float = 0.0,
    back: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Equal voltage steps from `start` to `stop`, both included, each held for `width`.

    Args:
        start: first voltage in V.
        stop: last voltage in V.
        steps: number of levels.
        width: time on each level in s; a whole number of samples.
        dt: time between two samples in s.
        gap: time at 0 V after each level in s; a whole number of samples.
        back: whether to go back over the same levels, with the last one once.
        dtype: dtype of the result.

    Raises:
        ConfigError: a number does not fit.
    """
    levels = torch.linspace(start, stop, _count("steps", steps), dtype=torch.float64).tolist()
    levels += levels[-2::-1] if back else []
    return torch.cat([pulse_train(v, 1, width=width, gap=gap, dt=dt, dtype=dtype) for v in levels])


def _turns(frequency: float, periods: float, dt: float) -> Tensor:
    """The middles of the samples in periods; float64, for phases grow and must stay accurate."""
    period = 1 / _positive("frequency", frequency)
    if period / _positive("dt", dt) < _LEAST * (1 - _ROUNDING):
        raise ConfigError(
            f"a period is {period:.6g} s, but dt={dt!r} s; expected at least {_LEAST} samples in a "
            f"period: dt <= {period / _LEAST:.6g}"
        )
    count = _samples("the duration", periods * period, dt)
    return (torch.arange(count, dtype=torch.float64) + 0.5) * dt * frequency


def _whole(name: str, duration: float, dt: float) -> int:
    """How many samples last exactly `duration`."""
    count = _samples(name, duration, dt)
    if abs(count * dt - duration) > _ROUNDING * duration:
        below = math.floor(duration / dt)
        fitting = " or ".join(f"{n * dt:.6g}" for n in (below, below + 1) if n)
        raise ConfigError(
            f"{name} is {duration!r} s, {duration / dt:.6g} samples of dt={dt!r} s; expected a "
            f"whole number of samples: {name}={fitting}, or another dt"
        )
    return count


def _samples(name: str, duration: float, dt: float) -> int:
    """How many samples last about `duration`, at least one."""
    count = round(_positive(name, duration) / _positive("dt", dt))
    if count < 1:
        raise ConfigError(f"{name} is {duration!r} s, but dt={dt!r} s; expected dt to be smaller")
    return count


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ConfigError(f"{name} is {value!r}; expected a finite number > 0")
    return value


def _count(name: str, value: object) -> int:
    if not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{name}={value!r}; expected an integer >= 1")
    return int(value)
