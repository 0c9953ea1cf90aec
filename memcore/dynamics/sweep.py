"""The search for a sweep in which a device shows what it does."""

import math
from typing import Final

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.dynamics import stimuli
from memcore.dynamics.simulate import Trace, simulate
from memcore.errors import ConfigError

_AMPLITUDES: Final = (0.5, 1.0, 2.0, 4.0)  #: V
_SAMPLES: Final = 600  #: of one period
_SEARCHED: Final = 150  #: of one period, while sweeps are compared


def liveliest_sweep(device: Memristor) -> Trace:
    """The trace of two triangular sweeps of a fresh nominal device, so that it moves if it can.

    Amplitude and speed are searched: the sweep is the one in which the conductance at zero voltage
    changes most, slow ones preferred.

    Raises:
        ConfigError: the device has no dynamics, or no finite conductances.
    """
    plan = device.nominal()
    durations = [10.0**decade for decade in range(0, -13, -2)]
    moved = torch.stack([_moved(_sweep(plan, _AMPLITUDES, each, _SEARCHED)) for each in durations])
    best: tuple[float, float, float] | None = None
    for index, amplitude in enumerate(_AMPLITUDES):
        for duration, here in zip(durations, moved[:, index].tolist(), strict=True):
            if math.isfinite(here) and (best is None or here > 1.05 * best[0] + 1e-6):
                best = (here, amplitude, duration)
    if best is None:
        raise ConfigError(
            f"no sweep of {type(device).__name__} has finite conductances; expected some: look at "
            "its step() and at its parameters"
        )
    return _sweep(plan, best[1], best[2], _SAMPLES)


def _moved(trace: Trace) -> Tensor:
    """How far each cell went, as the logarithm of the ratio of its ends."""
    g = trace.conductance
    return (g.amax(0) / g.amin(0)).log()


def _sweep(
    device: Memristor, amplitude: float | tuple[float, ...], duration: float, samples: int
) -> Trace:
    """The sweep of one cell, or of a cell for each amplitude."""
    dt = duration / samples
    once = stimuli.triangle(device.polarity, 1 / duration, dt=dt, periods=2, dtype=torch.float32)
    voltage = (
        once * amplitude
        if isinstance(amplitude, float)
        else torch.outer(once, torch.tensor(amplitude, device="cpu"))
    )
    try:
        return simulate(device, voltage, dt)
    except ConfigError as error:
        if not isinstance(error.__cause__, NotImplementedError):
            raise
        raise ConfigError(f"there is no loop to draw: {error.__cause__}") from error
