"""Current against voltage under a sine, beside what was calculated elsewhere."""

import math
from typing import Any

import torch
from figures_style import COLOURS, DOTS, legend, table
from torch import Tensor

import memcore
from memcore import Context, Memristor, Stream


def sweep(
    device: Memristor, state: Tensor, amplitude: float, frequency: float, steps: int = 300
) -> tuple[Tensor, Tensor]:
    """Voltage and current of one cell over two periods of a sine, the second one returned."""
    dt = 1 / (frequency * steps)
    time = (torch.arange(2 * steps, dtype=torch.float64) + 0.5) * dt
    voltage = amplitude * torch.sin(2 * math.pi * frequency * time)
    trace = memcore.simulate(device, voltage, dt, state=state)
    current = device.current(trace.state.movedim(1, 0), voltage)
    return voltage[steps:], current[steps:]


def hertz(frequency: float) -> str:
    """A frequency as one writes it."""
    for unit, factor in (("MHz", 1e6), ("kHz", 1e3)):
        if frequency >= factor:
            return f"{frequency / factor:g} {unit}"
    return f"{frequency:g} Hz"


def draw_loops(
    axes: Any,
    loops: list[tuple[str, Memristor, float, float]],
    scale: float = 1e3,
    oracles: tuple[str, ...] = (),
    column: str = "I_A",
) -> None:
    """Loops of the second period, and the calculated currents of the same period as dots."""
    ctx = Context(random=Stream(0))
    for (label, device, amplitude, frequency), colour in zip(loops, COLOURS, strict=False):
        start = device.initial_state((), ctx).to(torch.float64)
        voltage, current = sweep(device, start, amplitude, frequency)
        axes.plot(voltage, current * scale, color=colour, label=label)
    axes.axhline(0, color="0.8", zorder=0)
    axes.axvline(0, color="0.8", zorder=0)
    axes.set_xlabel("voltage (V)")
    axes.set_ylabel("current (mA)" if scale == 1e3 else "current (µA)")
    for name in oracles:
        found = table(name)
        axes.plot(found["V_V"][200::4], found[column][200::4] * scale, **DOTS)
    if oracles:
        axes.plot([], [], label="reference", **DOTS)
    legend(axes)
