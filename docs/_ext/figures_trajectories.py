"""Pictures of states in time, on trajectories that were calculated elsewhere."""

import math
from typing import Any

import torch
from figures_loops import draw_loops, hertz
from figures_style import COLOURS, CROSSES, DOTS, legend, table
from torch import Tensor

import memcore
from memcore import Memristor


def states(device: Memristor, start: float, voltage: Tensor, dt: float) -> Tensor:
    """The state at the beginning and after each voltage, one variable of one cell."""
    begin = torch.tensor([[start]], dtype=torch.float64)
    trace = memcore.simulate(device, voltage, dt, state=begin, shape=(1,))
    return torch.cat([begin[0], trace.state[:, 0, 0]])


def ideal(figure: Any) -> None:
    """Ohm's law at three positions, and the motion under pulses."""
    left, right = figure.subplots(1, 2)
    device = memcore.devices["ideal"]()
    voltage = torch.linspace(-0.2, 0.2, 41, dtype=torch.float64)
    for position, colour in zip((0.0, 0.5, 1.0), COLOURS, strict=False):
        current = device.current(torch.full((1, 41), position, dtype=torch.float64), voltage)
        left.plot(voltage, current * 1e6, color=colour, label=f"memcore, x = {position:g}")
        exact = voltage * (1e-6 + position * (1e-4 - 1e-6))
        left.plot(voltage[::10], 1e6 * exact[::10], **CROSSES)
    pulses = torch.tensor([0.5, -0.25, 1.0, -1.0], dtype=torch.float64).repeat_interleave(100)
    x = states(device, 0.2, pulses, 1e-8)
    time = torch.arange(401) * 1e-2
    right.plot(time, 1e6 * device.conductance(x[None]), color=COLOURS[0], label="memcore")
    ends = torch.tensor([0.2, 0.7, 0.45, 1.0, 0.0])
    right.plot(range(5), 1 + 99 * ends, label="closed form", **CROSSES)
    left.plot([], [], label="closed form", **CROSSES)
    left.set_xlabel("voltage (V)")
    left.set_ylabel("current (µA)")
    right.set_xlabel("time (µs), at 0.5, -0.25, 1 and -1 V")
    right.set_ylabel("conductance (µS)")
    right.set_ylim(0, 135)
    for axes in (left, right):
        legend(axes, loc="upper left")


def team(figure: Any) -> None:
    """Hysteresis at three frequencies, and the border under a sine with its windows."""
    cls = memcore.devices["team"]
    left, right = figure.subplots(1, 2)
    loops = [(hertz(f), cls(window="none"), 1.0, f) for f in (20.0, 1e4, 1e6)]
    draw_loops(left, loops)
    left.set_title("no window, 1 V sine")
    expected, fine = table("team_fit_sine_1V_1kHz.csv"), 4
    dt = 1e-3 / 200 / fine
    time = (torch.arange(400 * fine, dtype=torch.float64) + 0.5) * dt
    s = states(cls(substeps=1), 1.25 / 3, torch.sin(2 * math.pi * 1e3 * time), dt)[::fine]
    right.plot(1e3 * expected["t_s"], 3 * s[:400], color=COLOURS[0], label="memcore")
    right.plot(1e3 * expected["t_s"][::5], 1e9 * expected["x_m"][::5], label="reference", **DOTS)
    right.set_xlabel("time (ms)")
    right.set_ylabel("border x (nm)")
    right.set_title("with its windows, 1 V sine, 1 kHz")
    legend(right)


def sky130_reram(figure: Any) -> None:
    """Loops at two frequencies, and the thickness under constant voltages."""
    cls = memcore.devices["sky130_reram"]
    left, right = figure.subplots(1, 2)
    draw_loops(left, [(hertz(f), cls(), 2.4, f) for f in (1e5, 1e6)])
    left.set_title("2.4 V sine")
    pulses = ((2.1, 0.0), (2.2, 0.0), (-1.2, 1.0), (-1.5, 1.0))
    for (volts, start), colour in zip(pulses, COLOURS, strict=False):
        voltage = torch.full((800,), volts, dtype=torch.float64)
        d = cls().thickness(states(cls(), start, voltage, 1e-9))
        right.plot(range(801), 1e9 * d, color=colour, label=f"{volts} V")
    right.set_xlabel("time (ns)")
    right.set_ylabel("thickness d (nm)")
    legend(right)


def stanford_pku(figure: Any) -> None:
    """Loops with the series resistance that a SET needs, and gaps without one, as calculated."""
    cls = memcore.devices["stanford_pku"]
    left, middle, right = figure.subplots(1, 3)
    draw_loops(left, [(hertz(f), cls(r_series=500.0), 2.2, f) for f in (1e5, 1e6)])
    left.set_title("2.2 V sine, 500 Ω", fontsize="medium")
    pulses = {"set_1p8V": (1.8, 1.7), "reset_m1p3V": (-1.3, 0.2)}
    for (name, (volts, start)), colour in zip(pulses.items(), COLOURS, strict=False):
        voltage = torch.full((400,), volts, dtype=torch.float64)
        gap = _gap(cls(substeps=8), start, voltage, 0.25e-9)
        expected = table(f"stanford_pku_{name}_100ns.csv")
        middle.plot(1e9 * expected["t_s"], gap, color=colour, label=f"memcore, {volts} V")
        middle.plot(1e9 * expected["t_s"][::8], 1e9 * expected["gap_m"][::8], **DOTS)
    expected = table("stanford_pku_triangle_2V_16ms.csv")
    v = expected["V_V"]
    wave = torch.cat([0.5 * (v[1:] + v[:-1]), v[-1:]])
    right.plot(v, _gap(cls(), 1.7, wave, 16e-3 / 400), color=COLOURS[0], label="memcore")
    right.plot(v[::3], 1e9 * expected["gap_m"][::3], **DOTS)
    middle.set_xlabel("time (ns)")
    right.set_xlabel("voltage (V)")
    middle.set_title("constant voltage, 0 Ω", fontsize="medium")
    right.set_title("triangle of 16 ms, 0 Ω", fontsize="medium")
    for axes in (middle, right):
        axes.plot([], [], label="reference", **DOTS)
        axes.set_ylabel("gap (nm)")
        axes.set_ylim(0, 2.7)
        legend(axes, loc="upper center")


def _gap(device: Any, start: float, voltage: Tensor, dt: float) -> Tensor:
    """The gap in nm at the beginning of each sample."""
    begin = (start * 1e-9 - device.g_min) / (device.g_max - device.g_min)
    gap: Tensor = 1e9 * device.gap(states(device, begin, voltage, dt)[:-1])
    return gap
