"""Voltage waveforms [time] in volt, sampled every `dt` seconds, for `simulate`.

Sample k is held from `k dt` to `(k + 1) dt`. Sweeps take the voltage in the middle of that
interval, so that holding it costs an error of second order in `dt` only, and end at the nearest
sample. Pulses are exact: their widths and gaps must be whole numbers of samples.
"""

import math
from typing import Final

import torch
from torch import Tensor

from memcore import _check
from memcore._keywords import hint_all
from memcore.errors import ConfigError

_LEAST: Final = 4  #: samples of a period: each quarter of a sweep has one
_MOST: Final = 2**25  #: samples of a waveform, a third of a second at 10 ns
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
    amplitude = _check.number("amplitude", amplitude, unit="V")
    offset = _check.number("offset", offset, unit="V")
    turns = _turns(frequency, periods, dt)
    _require_dtype(dtype)
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
    amplitude = _check.number("amplitude", amplitude, unit="V")
    second = -amplitude if negative is None else _check.number("negative", negative, unit="V")
    turns = _turns(frequency, periods, dt) % 1
    _require_dtype(dtype)
    shape = 1 - (4 * (turns % 0.5) - 1).abs()
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
    gap = _check.number("gap", gap, unit="s", at_least=0)
    high = _check.number("amplitude", amplitude, unit="V")
    low = _check.number("read", read, unit="V")
    count = _check.integer("count", count, at_least=1)
    on, off = _whole("width", width, dt), _whole("gap", gap, dt) if gap else 0
    _require_few(count * (on + off))
    _require_dtype(dtype)
    whole = torch.tensor([high, low], dtype=torch.float64).to(dtype)
    return whole.repeat_interleave(torch.tensor([on, off])).repeat(count)


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
    cycles = _check.integer("cycles", cycles, at_least=1)
    _require_few(cycles * sum(map(len, both)))
    return torch.cat(both).repeat(cycles)


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
    start = _check.number("start", start, unit="V")
    stop = _check.number("stop", stop, unit="V")
    steps = _check.integer("steps", steps, at_least=1)
    width, dt = _positive("width", width), _positive("dt", dt)
    gap = _check.number("gap", gap, unit="s", at_least=0)
    _require_few(steps * (width + gap) / dt)
    levels = torch.linspace(start, stop, steps, dtype=torch.float64).tolist()
    levels += levels[-2::-1] if back else []
    return torch.cat([pulse_train(v, 1, width=width, gap=gap, dt=dt, dtype=dtype) for v in levels])


def _turns(frequency: float, periods: float, dt: float) -> Tensor:
    """The middles of the samples in periods; float64, for phases grow and must stay accurate."""
    frequency, dt = _positive("frequency", frequency), _positive("dt", dt)
    period = 1 / frequency
    if period / _positive("dt", dt) < _LEAST * (1 - _ROUNDING):
        raise ConfigError(
            f"a period is {period:.6g} s, but dt={dt!r} s; expected at least {_LEAST} samples in a "
            f"period: dt <= {period / _LEAST:.6g}"
        )
    count = _samples("the duration", _positive("periods", periods) * period, dt)
    return (torch.arange(count, dtype=torch.float64) + 0.5) * dt * frequency


def _whole(name: str, duration: float, dt: float) -> int:
    """How many samples last exactly `duration`."""
    duration, dt = _positive(name, duration), _positive("dt", dt)
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
    _require_few(count)
    if count < 1:
        raise ConfigError(f"{name} is {duration!r} s, but dt={dt!r} s; expected dt to be smaller")
    return count


def _positive(name: str, value: float) -> float:
    return _check.number(name, value, above=0)


def _require_few(samples: float) -> None:
    if samples > _MOST:
        raise ConfigError(
            f"the waveform has {samples:.3g} samples; expected at most {_MOST}: a larger dt, or "
            "parts, each from the final state of the one before"
        )


def _require_dtype(dtype: object) -> None:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(f"dtype={dtype!r}; expected one of floating point: torch.float32, say")


hint_all(globals(), ["sine", "triangle", "pulse_train", "ltp_ltd", "staircase"])
