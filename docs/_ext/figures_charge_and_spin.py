"""Pictures of charge-trap, magnetic, ferroelectric and electrochemical cells known by statistics.

Published fits are written here once more and not asked of the device.
"""

import math
from collections.abc import Callable
from functools import partial
from statistics import NormalDist
from typing import Any

import torch
from figures_sampling import CELLS, DAY, US, cells, fine, published, read, seconds, spread, window
from figures_style import COLOURS, CROSSES, DASHED, legend, table
from torch import Tensor

import memcore
from memcore import Context, Stream


def _saturating(top: float, scale: float, current: float) -> float:
    """A spread that grows with the current up to a limit."""
    return top - top * math.exp(-current / scale)


def _lost(life: float, t: float) -> float:
    """The share of bits that are lost after t."""
    return -math.expm1(-t / life)


# -- SONOS -----------------------------------------------------------------------------------------

SONOS_SPREAD = {  #: day: A and B of A (1 - exp(-I / B)), nA
    0: (19.88665, 176.3115),
    1: (25.59102, 186.85544),
    5: (34.57909, 207.34309),
}
SONOS_READ = (12.58037, 215.36557)


def sonos(figure: Any) -> None:
    """Spread and mean shift of the current within five days, and the noise of a read."""
    left, right = figure.subplots(1, 2)
    cell, oracle = memcore.devices["sonos"](g_max=1.8e-5), table("sonos_mean_drift_table.csv")
    current = torch.tensor([10, 50, 100, 200, 400, 800, 1200, 1600, 1800], dtype=torch.float64)
    g, (write, age, noise) = cells(cell, current * 1e-8)
    for (day, (a, b)), colour in zip(SONOS_SPREAD.items(), COLOURS, strict=False):
        after = age(write(g), seconds(day * DAY))
        label = f"memcore, day {day}"
        spread(left, current, after, 1e-8, color=colour, label=label)
        published(left, fine([0, 1800]), partial(_saturating, a, b), None)
    spread(left, current, read(noise, g, g, 0.0), 1e-8, color=COLOURS[3], label="memcore, one read")
    a, b = SONOS_READ
    published(left, fine([0, 1800]), partial(_saturating, a, b), "published")
    for day, colour in zip((1, 3, 5), COLOURS, strict=False):
        shift = (age(g, seconds(day * DAY)) - g)[0] / 1e-8
        error = 2 * shift.std(-1) / math.sqrt(CELLS)
        style = {"linestyle": "", "marker": "o", "markersize": 4, "color": colour}
        right.errorbar(current, shift.mean(-1), error, label=f"memcore, day {day}", **style)
        right.plot(oracle["I_nA"], oracle[f"d{day}"], **CROSSES)
    right.plot([], [], label="reference", **CROSSES)
    left.set_ylabel("std (nA)")
    left.set_ylim(0, 60)
    right.set_ylabel("mean shift (nA)")
    for axes in (left, right):
        axes.set_xlabel("current at 0.1 V (nA)")
    legend(left, ncols=2, loc="upper left")
    legend(right)


# -- STT-MRAM --------------------------------------------------------------------------------------


def stt_mram(figure: Any) -> None:
    """Resistances of both states, errors of writing and bits lost with time."""
    panels = figure.subplots(1, 3)
    _resistances(panels[0])
    _failed_writes(panels[1])
    _lost_bits(panels[2])
    for axes in panels:
        legend(axes, loc="upper right")


def _resistances(axes: Any) -> None:
    cell = memcore.devices["stt_mram"]()
    low, high = cell.conductance_range()
    parallel = 7.5 / (1.96e-3)  # 7.5 ohm um^2 over the area of the junction, 1.96e-3 um^2
    antiparallel = parallel * (1 + 1.5 / (1 + (0.1 / 0.5) ** 2))
    g, (write, differ, _) = cells(cell, torch.tensor([high, low], dtype=torch.float64))
    resistance = 1e-3 / differ(write(g))[0]
    kinds = {"parallel": parallel, "antiparallel": antiparallel}
    for values, (name, mean), colour in zip(resistance, kinds.items(), COLOURS, strict=False):
        edges = torch.linspace(0.8 * mean * 1e-3, 1.2 * mean * 1e-3, 25)
        style = {"density": True, "histtype": "step", "color": colour}
        axes.hist(values, bins=edges, label=f"memcore, {name}", **style)
        normal = NormalDist(mean * 1e-3, 0.05 * mean * 1e-3)
        published(axes, fine(edges[[0, -1]]), normal.pdf, None)
    axes.plot([], [], label="published", **DASHED)
    axes.set_xlabel("resistance at 0.1 V (kΩ)")
    axes.set_ylabel("density (1/kΩ)")
    axes.set_ylim(0, 3.6)


def _failed_writes(axes: Any) -> None:
    times = torch.linspace(1e-9, 9e-9, 9, dtype=torch.float64)
    for overdrive, colour in zip((1.3, 1.5, 2.0), COLOURS, strict=False):
        share = []
        for n, t in enumerate(times):
            cell = memcore.devices["stt_mram"](overdrive=overdrive, write_time=float(t))
            g, (write, *_) = cells(cell, torch.full((5,), cell.conductance_range()[1]), seed=n)
            share.append(write(g) < 0.9 * g)
        _fractions(axes, times * 1e9, share, color=colour, label=f"memcore, i = {overdrive}")
        published(axes, fine(times * 1e9), partial(_butler, i=overdrive), None)
    axes.plot([], [], label="published", **DASHED)
    axes.set_yscale("log")
    axes.set_ylim(1e-4, 300)
    axes.set_xlabel("pulse (ns)")
    axes.set_ylabel("share of writes that fail")


def _butler(ns: float, i: float) -> float:
    """The probability that a pulse of `ns` at `i` times the critical current fails, Δ = 60."""
    grown = i * math.exp(2 * (i - 1) * ns) - 1
    return -math.expm1(-(math.pi**2) * 60 / 4 * (i - 1) / grown)


def _fractions(axes: Any, x: Tensor, events: list[Tensor], **style: Any) -> None:
    """Shares of cells with two standard errors, where there are ten events at least."""
    count = torch.tensor([int(e.sum()) for e in events], dtype=torch.float64)
    total = events[0].numel()
    share = count / total
    error = 2 * (share * (1 - share) / total).sqrt()
    shown = count >= 10
    style |= {"linestyle": "", "marker": "o", "markersize": 4}
    axes.errorbar(x[shown], share[shown], error[shown], **style)


def _lost_bits(axes: Any) -> None:
    for delta, colour in zip((40.0, 50.0, 60.0), COLOURS, strict=False):
        cell = memcore.devices["stt_mram"](delta=delta)
        g, (_, _, keep) = cells(cell, torch.full((5,), cell.conductance_range()[1]))
        times = torch.logspace(-2.5, 1, 8, dtype=torch.float64) * 1e-9 * math.exp(delta)
        lost = [keep(g, t) < 0.9 * g for t in times]
        _fractions(axes, times, lost, color=colour, label=f"memcore, Δ = {delta:g}")
        places = torch.logspace(math.log10(times[0]), math.log10(times[-1]), 60).double()
        life = 1e-9 * math.exp(delta)
        published(axes, places, partial(_lost, life), None)
    axes.plot([], [], label="published", **DASHED)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1e-3, 60)
    axes.set_xlabel("age (s)")
    axes.set_ylabel("share of bits that are lost")


# -- FeFET and ECRAM -------------------------------------------------------------------------------


def fefet(figure: Any) -> None:
    """The level that a target takes, and the noise of the pulses that lead there."""
    left, right = figure.subplots(1, 2)
    cell = memcore.devices["fefet"]()
    low, high = 1 / (45 * 0.55928), 1 / 0.55928  # uS
    levels = [low + (high - low) * n / 31 for n in range(8)]
    g, (write,) = cells(cell, window(low, levels[-1], 140))
    left.plot(g[0, :, 0] / US, write(g)[0].mean(-1) / US, color=COLOURS[0], label="memcore, mean")
    left.plot(levels, levels, label="published, the lowest 8 levels of 32", **CROSSES)
    left.set_xlabel("target (µS)")
    left.set_ylabel("written (µS)")
    steps = torch.tensor([1, 2, 4, 7, 11, 16, 21, 26, 29], dtype=torch.float64)
    g, (write,) = cells(cell, (low + (high - low) * steps / 31) * US)
    spread(right, steps, write(g), 1e-9, color=COLOURS[0], label="memcore")
    one = 1e3 * 0.005 * (high - low)  # nS
    published(right, fine([0, 31]), lambda n: one * math.sqrt(n), "published c2c, times √n")
    right.set_xlabel("pulses from the empty state, n")
    right.set_ylabel("std of writing (nS)")
    for axes in (left, right):
        legend(axes, loc="upper left")
    right.set_ylim(0, 65)


def ecram(figure: Any) -> None:
    """The noise of the pulses that lead to a target, and what equal steps leave out."""
    left, right = figure.subplots(1, 2)
    cls = memcore.devices["ecram"]
    kinds = {
        "lithium": (cls(), 0.002, 0.3),
        "metal oxide": (cls.preset("metal_oxide"), 2.8214e-4, 2.0),
    }
    for (name, (cell, step, c2c)), colour in zip(kinds.items(), COLOURS, strict=False):
        g, (write,) = cells(cell, window(1, 9))
        spread(left, g[0, :, 0] / US, write(g), 1e-9, color=colour, label=f"memcore, {name}")
        one = 9.9 * step / 2  # uS, of weights from -0.83 to 1.17
        published(left, fine([0.1, 10]), partial(_after_pulses, one=one, c2c=c2c), None)
    left.plot([], [], label="published c2c, times √n", **DASHED)
    left.set_xlabel("target (µS)")
    left.set_ylabel("std of writing (nS)")
    left.set_ylim(0, 250)
    _steps_left_out(right)
    for axes in (left, right):
        legend(axes, loc="upper left")


def _after_pulses(us: float, one: float, c2c: float) -> float:
    """The noise in nS of as many steps of `one` uS as lead from 0.1 uS to `us`."""
    return 1e3 * c2c * one * math.sqrt((us - 0.1) / one)


def _steps_left_out(axes: Any) -> None:
    """Equal steps and the pulses of linear_step, from empty to full."""
    ctx, count = Context(random=Stream(0)), torch.arange(0, 2001, 20, dtype=torch.float64)
    steps = {"ecram": 0.002, "ecram_mo": 2.8214e-4}
    for (preset, step), colour in zip(steps.items(), COLOURS, strict=False):
        device = memcore.devices["linear_step"].preset(preset, c2c=0.0).nominal()
        start = device.state_at(torch.full_like(count, device.w_min))
        number = count / 2000 * 2 / step
        x = device.pulses(start, number, ctx)[0]
        axes.plot(count / 2000, x, color=colour, label=f"memcore, linear_step, {preset}")
    axes.plot([0, 1], [0, 1], label="equal steps, this device", **DASHED)
    axes.set_xlabel("pulses over those of the window")
    axes.set_ylabel("position in the window")
    axes.set_ylim(0, 1.5)


CHARGE_AND_SPIN: dict[str, tuple[Callable[[Any], None], float]] = {
    "sonos": (sonos, 3.2),
    "stt_mram": (stt_mram, 3.0),
    "fefet": (fefet, 3.0),
    "ecram": (ecram, 3.0),
}
