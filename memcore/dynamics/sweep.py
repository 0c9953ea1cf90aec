"""The search for a sweep in which a device shows what it does."""

import math
from typing import Final

import torch

from memcore.contracts.device import Memristor
from memcore.dynamics import stimuli
from memcore.dynamics.simulate import Trace, simulate
from memcore.errors import ConfigError

_AMPLITUDES: Final = (0.5, 1.0, 2.0, 4.0)  #: V
_SAMPLES: Final = 600  #: of one period


def liveliest_sweep(device: Memristor) -> Trace:
    """The trace of two triangular sweeps of a fresh nominal device, so that it moves if it can.

    Amplitude and speed are searched: the sweep is the one in which the conductance at zero voltage
    changes most, slow ones preferred.

    Raises:
        ConfigError: the device has no dynamics, or no finite conductances.
    """
    plan = device.nominal()
    best: tuple[float, Trace] | None = None
    for amplitude in _AMPLITUDES:
        for decade in range(0, -13, -2):
            trace = _sweep(plan, amplitude, 10.0**decade)
            g = trace.conductance
            moved = (g.max() / g.min()).log().item()
            if math.isfinite(moved) and (best is None or moved > 1.05 * best[0] + 1e-6):
                best = (moved, trace)
    if best is None:
        raise ConfigError(
            f"no sweep of {type(device).__name__} has finite conductances; expected some: look at "
            "its step() and at its parameters"
        )
    return best[1]


def _sweep(device: Memristor, amplitude: float, duration: float) -> Trace:
    dt = duration / _SAMPLES
    voltage = stimuli.triangle(
        amplitude * device.polarity, 1 / duration, dt=dt, periods=2, dtype=torch.float32
    )
    try:
        return simulate(device, voltage, dt)
    except ConfigError as error:
        if not isinstance(error.__cause__, NotImplementedError):
            raise
        raise ConfigError(f"there is no loop to draw: {error.__cause__}") from error
