"""Pulses that move a device by a good part of its window, for the checks of its dynamics."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.dynamics import probe
from memcore.dynamics.probe import ROUNDING, VOLTAGES
from memcore.testing.cases import context, fail

#: Rounding, as a share of the window: of float64, and of float32 through a steep model.
EXACT = 1e-6
ROUNDED = 1e-3
_DURATIONS = probe.durations(2)
#: A pulse is a good one if it moves the conductance by this share of the window.
WANTED = (0.02, 0.25)


@dataclass(frozen=True)
class TriedPulse(probe.Pulse):
    """A constant voltage that moves a cell.

    Args:
        moved: change of the conductance as a share of the window, with its sign.
    """

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


def has_pulses(device: Memristor) -> bool:
    """Whether a voltage can move it; a device that is only written directly refuses to step."""
    nominal = device.nominal()
    state = middle(nominal, 1)
    try:
        nominal.step(state, torch.zeros_like(state[0]), 1e-9, context())
    except NotImplementedError:
        return False
    return True


def set_and_reset(device: Memristor) -> tuple[TriedPulse | None, TriedPulse | None]:
    """A positive and a negative pulse that move the cell, None where nothing does."""
    return _found(device.nominal())


def active(device: Memristor) -> Iterator[TriedPulse]:
    """The pulses of `set_and_reset` that the device has."""
    for pulse in set_and_reset(device):
        if pulse is not None:
            yield pulse


@lru_cache(maxsize=256)
def _found(device: Memristor) -> tuple[TriedPulse | None, TriedPulse | None]:
    if not has_pulses(device):
        return None, None
    low, high = window(device)
    # Windows hold some models where others are free: start in the middle of conductance and of
    # resistance, and at both ends.
    starts = torch.tensor(
        [0.5 * (low + high), 2 / (1 / low + 1 / high), low, high], dtype=torch.float64
    )
    signed = torch.tensor([s * v for s in (1.0, -1.0) for v in VOLTAGES], dtype=torch.float64)
    begun, voltage = (x.flatten() for x in torch.meshgrid(starts, signed, indexing="ij"))
    state = device.state_of(begun)
    with torch.no_grad():
        after = probe.scan(device, state, voltage, _DURATIONS, context())
        moved = travel(device, device.conductance(state), after)
    positive, negative = moved.view(len(_DURATIONS), len(starts), 2, len(VOLTAGES)).unbind(2)
    return _best(positive, 1.0), _best(negative, -1.0)


def travel(device: Memristor, before: Tensor, after: Tensor) -> Tensor:
    """Changes of conductance or of resistance, the larger, as a share of the window."""
    low, high = window(device)
    by_conductance = (after - before) / (high - low)
    by_resistance = (1 / before - 1 / after) / (1 / low - 1 / high)
    larger = by_conductance.abs() > by_resistance.abs()
    return torch.where(larger, by_conductance, by_resistance).nan_to_num()


def _best(moved: Tensor, sign: float) -> TriedPulse | None:
    """The longest good pulse at the first voltage that has one, where the device is fastest.

    Where there is none, the one nearest to it.

    Args:
        moved: changes of the conductance as shares of the window, [durations, starts, voltages].
        sign: sign of the voltages.
    """
    size = moved.abs()
    good = (size >= WANTED[0]) & (size <= WANTED[1])
    if bool(good.any()):
        column = int(good.any(0).any(0).nonzero()[0])
        longest = {int(start): int(row) for row, start in good[..., column].nonzero()}
        start, row = min(longest.items(), key=lambda item: item[1])
    elif bool((size > ROUNDING).any()):
        score = torch.where(size > ROUNDING, (size - WANTED[1]).abs(), torch.inf)
        place = torch.unravel_index(score.argmin(), score.shape)
        row, start, column = (int(i) for i in place)
    else:
        return None
    return TriedPulse(sign * VOLTAGES[column], _DURATIONS[row], float(moved[row, start, column]))


def share(device: Memristor, a: Tensor, b: Tensor) -> float:
    """The largest difference of two conductances as a share of the window."""
    low, high = window(device)
    return float((a.double() - b.double()).abs().max()) / (high - low)


def is_random(device: Memristor) -> bool:
    """Whether a pulse has a random outcome."""
    nominal = device.nominal()
    for pulse in active(device):
        state = middle(nominal, 8)
        v = torch.full((8,), pulse.voltage, dtype=torch.float64)
        a, b = (nominal.step(state, v, pulse.width, context(seed)) for seed in (0, 1))
        if not torch.equal(a, b):
            return True
    return False


def reached(device: Memristor) -> Tensor:
    """States that the device can be in: fresh, programmed, and after pulses; [k, n] float64."""
    return _reached(device.nominal()).clone()


@lru_cache(maxsize=8)
def _reached(nominal: Memristor) -> Tensor:
    fresh = nominal.initial_state((3,), context()).double()
    programmed = nominal.state_of(levels(nominal))
    states = [fresh, programmed]
    for pulse in active(nominal):
        v = torch.full(programmed.shape[1:], pulse.voltage, dtype=torch.float64)
        for factor in (1.0, 10.0, 1e4):
            states.append(nominal.step(programmed, v, factor * pulse.width, context()))
    return torch.cat(states, dim=1)
