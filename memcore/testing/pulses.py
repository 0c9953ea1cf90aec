"""Finding the voltages and times at which a device moves: models differ by twenty decades."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from memcore.hookspecs import Memristor
from memcore.testing.cases import context, fail

#: Rounding, as a share of the window: of float64, and of float32 through a steep model.
EXACT = 1e-6
ROUNDED = 1e-3
#: V, the likeliest operating voltages first.
VOLTAGES = (1.0, 1.5, 2.0, 3.0, 0.5, 5.0, 0.2, 8.0, 0.1)
#: s, three per decade.
DURATIONS = tuple(10.0 ** (n / 3) for n in range(-45, 16))
#: A pulse is a good one if it moves the conductance by this share of the window.
WANTED = (0.02, 0.25)


@dataclass(frozen=True)
class Pulse:
    """A constant voltage that moves a cell from the middle of its window.

    Args:
        voltage: V.
        duration: s.
        moved: change of the conductance as a share of the window, with its sign.
    """

    voltage: float
    duration: float
    moved: float


def window(device: Memristor) -> tuple[float, float]:
    """The conductance range of the nominal device as two numbers, S."""
    low, high = device.nominal().conductance_range()
    try:
        return float(low), float(high)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        fail(
            device,
            f"conductance_range() of the nominal device is ({low!r}, {high!r})",
            "return two numbers in siemens",
        )


def levels(device: Memristor, count: int = 9, dtype: torch.dtype = torch.float64) -> Tensor:
    """Conductances from one end of the window to the other: evenly spaced, then by ratio, S."""
    low, high = window(device)
    even = torch.linspace(0, 1, count, dtype=torch.float64)
    return torch.cat([low + (high - low) * even, low * (high / low) ** even]).to(dtype)


def middle(device: Memristor, cells: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The state of `cells` cells in the middle of the window, [k, cells]."""
    low, high = window(device)
    return device.state_of(torch.full((cells,), 0.5 * (low + high), dtype=dtype))


def set_and_reset(device: Memristor) -> tuple[Pulse | None, Pulse | None]:
    """A positive and a negative pulse that move the cell, None where nothing does."""
    return _found(device.nominal())


def active(device: Memristor) -> Iterator[Pulse]:
    """Those of `set_and_reset` that there are."""
    for pulse in set_and_reset(device):
        if pulse is not None:
            yield pulse


@lru_cache(maxsize=256)
def _found(device: Memristor) -> tuple[Pulse | None, Pulse | None]:
    signs = (1.0, -1.0)
    voltage = torch.tensor([s * v for s in signs for v in VOLTAGES], dtype=torch.float64)
    low, high = window(device)
    start = middle(device, len(voltage))
    before = device.conductance(start)
    with torch.no_grad():
        after = [
            device.conductance(device.step(start, voltage, duration, context()))
            for duration in DURATIONS
        ]
    moved = ((torch.stack(after) - before) / (high - low)).nan_to_num()
    half = len(VOLTAGES)
    return _best(moved[:, :half], 1.0), _best(moved[:, half:], -1.0)


def _best(moved: Tensor, sign: float) -> Pulse | None:
    """The first voltage with a good pulse and its longest one; else the nearest to a good one."""
    size = moved.abs()
    good = (size >= WANTED[0]) & (size <= WANTED[1])
    for column, voltage in enumerate(VOLTAGES):
        rows = good[:, column].nonzero().flatten()
        if len(rows):
            row = int(rows[-1])
            return Pulse(sign * voltage, DURATIONS[row], float(moved[row, column]))
    if not bool((size > 1e-6).any()):
        return None
    score = torch.where(size > 1e-6, (size - WANTED[1]).abs(), torch.inf)
    row, column = divmod(int(score.argmin()), len(VOLTAGES))
    return Pulse(sign * VOLTAGES[column], DURATIONS[row], float(moved[row, column]))


def share(device: Memristor, a: Tensor, b: Tensor) -> float:
    """The largest difference of two conductances as a share of the window."""
    low, high = window(device)
    return float((a.double() - b.double()).abs().max()) / (high - low)


def is_random(device: Memristor) -> bool:
    """Whether a pulse has a random outcome."""
    for pulse in active(device):
        state = middle(device, 8)
        v = torch.full((8,), pulse.voltage, dtype=torch.float64)
        a, b = (device.step(state, v, pulse.duration, context(seed)) for seed in (0, 1))
        if not torch.equal(a, b):
            return True
    return False


def reached(device: Memristor) -> Tensor:
    """States that the device can be in: fresh, programmed, and after pulses; [k, n] float64."""
    nominal = device.nominal()
    fresh = nominal.initial_state((3,), context()).double()
    programmed = nominal.state_of(levels(device))
    states = [fresh, programmed]
    for pulse in active(device):
        v = torch.full(programmed.shape[1:], pulse.voltage, dtype=torch.float64)
        for factor in (1.0, 10.0, 1e4):
            states.append(nominal.step(programmed, v, factor * pulse.duration, context()))
    return torch.cat(states, dim=1)
