"""Pictures of phase-change memory and oxide ReRAM that are known by their statistics.

Published fits are written here once more and not asked of the device.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from figures_sampling import (
    DAY,
    US,
    cells,
    fine,
    polynomial,
    published,
    read,
    seconds,
    spread,
    window,
)
from figures_style import COLOURS, CROSSES, DASHED, legend, numbers
from torch import Tensor

import memcore
from memcore import Memristor


def _scaled_polynomial(coefficients: Sequence[float], scale: float, us: float) -> float:
    """A published polynomial of microsiemens over `scale`."""
    return polynomial(us / scale, coefficients)


def _decayed(nu: float, t0: float, t: float) -> float:
    """The share that drift leaves after t."""
    return float(((t + t0) / t0) ** -nu)


def _log_noise(band: float, us: float) -> float:
    """Noise of a read that grows with the logarithm of the conductance."""
    return 0.0277316 * math.log10(us) * band


# -- phase change ----------------------------------------------------------------------------------

TIMES = (25.0, 3600.0, DAY, 365 * DAY)  #: s, of the oracle


def pcm(figure: Any) -> None:
    """Error of writing, drift and noise of a read, on the closed forms."""
    cell, rows = memcore.devices["pcm"](), numbers("statistical.json")["pcm"]
    share = torch.tensor([row[0] for row in rows], dtype=torch.float64)
    panels = figure.subplots(1, 3)
    g, (write, _, noise) = cells(cell, cell.g_max * share)
    spread(panels[0], 25 * share, write(g), color=COLOURS[0], label="memcore")
    panels[0].plot(25 * share, [row[1] for row in rows], label="reference", **CROSSES)
    curve = (0.26348, 1.9650, -1.1731)
    published(panels[0], fine([0, 25]), lambda us: polynomial(us / 25, curve), "published")
    for index, colour in zip((0, 1, 3), COLOURS, strict=False):
        factors, stds = rows[index][5::2], rows[index][6::2]
        label = f"memcore, {25 * float(share[index]):g} µS"
        _drift(panels[1], cell, cell.g_max * share[[index]], color=colour, label=label)
        panels[1].plot(TIMES, factors, **CROSSES)
        here = g[:, [index]]
        reads = [read(noise, here, f * here, t) for f, t in zip(factors, TIMES, strict=True)]
        spread(panels[2], torch.tensor(TIMES), torch.cat(reads, 1), color=colour, label=label)
        panels[2].plot(TIMES, stds, **CROSSES)
    _phase_change_axes(panels)
    panels[1].set_ylim(0.1, 1.45)
    panels[2].set_ylim(0, 1.05)


def pcm_hermes(figure: Any) -> None:
    """The same for one and for two cells, on the published fits."""
    panels = figure.subplots(1, 3)
    hermes = memcore.devices["pcm_hermes"]
    kinds = {1: (hermes(), 200.0), 2: (hermes.preset("two_devices"), 300.0)}
    for (devices, (cell, t0)), colour in zip(kinds.items(), COLOURS, strict=False):
        label, top = f"memcore, {'one cell' if devices == 1 else 'two cells'}", cell.g_max / US
        g, (write, _, noise) = cells(cell, window(0.01 * top, top))
        at = g[0, :, 0] / US
        spread(panels[0], at, write(g), color=colour, label=label)
        std = HERMES_WRITING[devices]
        published(panels[0], fine([0, top]), partial(_scaled_polynomial, std, top), None)
        half = window(0.5 * top, 0.5 * top, 1)
        nu = -0.0436 * 0.5**2 - 0.0126 * 0.5 + 0.0736
        _drift(panels[1], cell, half, color=colour, label=label)
        published(panels[1], YEARS, partial(_decayed, nu, t0), None)
        reads = read(noise, g, g, 0.0)
        spread(panels[2], at, reads, color=colour, label=label)
        noisy = partial(_hermes_noise, devices=devices, top=top, t0=t0)
        published(panels[2], fine([0.01 * top, top]), noisy, None)
    panels[0].plot([], [], label="published", **DASHED)
    _phase_change_axes(panels)
    panels[1].set_title("half of g_max", fontsize="medium")
    panels[2].set_title("at once", fontsize="medium")
    panels[2].set_xscale("linear")
    panels[2].set_xlabel("programmed (µS)")


HERMES_WRITING = {  #: uS, ascending in the share of g_max
    1: (0.15781817, 2.32443916, -2.16310839, 0.68841818),
    2: (0.16603222, 4.71806468, -8.48101252, 4.68961419),
}
YEARS = torch.logspace(1, math.log10(365 * DAY), 40, dtype=torch.float64)


def _hermes_noise(us: float, devices: int, top: float, t0: float) -> float:
    return us * _hermes_q(us / top, devices) * _band(t0, 512e-9)


def _hermes_q(x: float, devices: int) -> float:
    if devices == 1 and x < 0.1591:
        return min(max(-0.0078 * math.log(x) + 0.0038, 0.0179), 0.04)
    if devices == 2 and x < 0.16:
        return min(max(-0.0117 * math.log(x) - 0.0069, 0.015), 0.04)
    fits = {1: (0.0088, 0.0768, -0.1352, 0.0664), 2: (0.0123, 0.0211, -0.0280, 0.0069)}
    return polynomial(x, fits[devices])


def _band(t: float, t_read: float) -> float:
    return math.sqrt(math.log((t + t_read) / (2 * t_read)))


def _drift(axes: Any, cell: Memristor, target: Tensor, color: str, label: str) -> None:
    """Median cell and the middle 68 % of cells over a year."""
    g, effects = cells(cell, target)
    left = torch.cat([effects[1](g, t) / g for t in YEARS], 1)[0]
    low, middle, high = (left.quantile(q, dim=-1) for q in (0.16, 0.5, 0.84))
    axes.plot(YEARS, middle, color=color, label=label)
    axes.fill_between(YEARS, low, high, color=color, alpha=0.2, linewidth=0)


def _phase_change_axes(panels: Any) -> None:
    panels[0].set_xlabel("target (µS)")
    panels[0].set_ylabel("std of writing (µS)")
    panels[1].set_ylabel("share of what was written")
    panels[2].set_ylabel("std of a read (µS)")
    for axes in panels[1:]:
        axes.set_xscale("log")
        axes.set_xlabel("age (s)")
    for axes in panels:
        legend(axes)


# -- oxide ReRAM -----------------------------------------------------------------------------------

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
WAN = {  #: time in s: ascending coefficients in uS, and their values at SHARES
    1.0: (
        (0.348, 16.030, -43.853, 45.393, -16.815),
        (0.348, 1.556182, 2.25827, 2.022938, 1.532988, 1.103),
    ),
    DAY: (
        (0.701, 22.086, -50.773, 47.095, -16.458),
        (0.701, 2.447319, 3.720758, 3.909, 3.366477, 2.651),
    ),
    2 * DAY: (
        (0.782, 20.274, -43.507, 37.062, -11.934),
        (0.782, 2.410199, 3.663789, 3.929125, 3.374352, 2.677),
    ),
}


def reram_wan2022(figure: Any) -> None:
    """Spread about the target at three times, and the other fit of the first."""
    left, right = figure.subplots(1, 2, sharey=True)
    cell = memcore.devices["reram_wan2022"]()
    g, (write, age) = cells(cell, window(4, 40, 10))
    for (t, (fit, values)), label, colour in zip(
        WAN.items(), ("memcore, 1 s", "memcore, 1 day", "memcore, 2 days"), COLOURS, strict=False
    ):
        spread(left, g[0, :, 0] / US, age(write(g), seconds(t)), color=colour, label=label)
        published(left, fine([0, 40]), partial(_scaled_polynomial, fit, 40.0), None)
        left.plot(40 * torch.tensor(SHARES), values, **CROSSES)
    left.plot([], [], label="published", **DASHED)
    left.plot([], [], label="reference", **CROSSES)
    cubic = memcore.devices["reram_wan2022"].preset("cubic")
    g, (write,) = cells(cubic, window(4, 39.26, 10))
    spread(right, g[0, :, 0] / US, write(g), color=COLOURS[0], label="memcore, 1 s")
    published_fit = (1.053, 0.2374, -1.167e-2, 1.536e-4)
    published(right, fine([0, 40]), lambda us: polynomial(us, published_fit), "published")
    at_reference = (1.053, 2.4136, 2.3618, 1.8192, 1.68064)
    right.plot((0, 10, 20, 30, 39.26), at_reference, label="reference", **CROSSES)
    left.set_ylabel("std about the target (µS)")
    for axes, title in ((left, "quartic"), (right, "cubic")):
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("target (µS)")
        axes.set_ylim(0, 5.6)
        legend(axes, ncols=2, loc="upper right")


def reram_cmo(figure: Any) -> None:
    """Error of writing for both acceptances, relaxation and noise of a read."""
    panels = figure.subplots(1, 3)
    fits = {0.02: (0.01121854, 0.01129027), 0.002: (0.00081107, 0.00106879)}
    for (acceptance, fit), colour in zip(fits.items(), COLOURS, strict=False):
        cell = memcore.devices["reram_cmo"](acceptance=acceptance)
        g, (write, _, noise) = cells(cell, window(9, 88.2))
        at, label = g[0, :, 0] / US, f"memcore, {100 * acceptance:g} %"
        spread(panels[0], at, write(g), color=colour, label=label)
        published(panels[0], fine(at), partial(_scaled_polynomial, fit, 1.0), None)
    panels[0].set_yscale("log")
    panels[0].set_ylim(2e-3, 2)
    middle, (_, age, _) = cells(cell, window(50, 50, 1))
    times = torch.logspace(0, 7, 8, dtype=torch.float64)
    moved = (torch.cat([age(middle, t) for t in times], 1)[0] - middle[0]) / US
    style = {"linestyle": "", "marker": "o", "markersize": 4, "color": COLOURS[0]}
    panels[1].errorbar(times, moved.mean(-1), moved.std(-1), label="memcore", **style)
    log = times.log()
    for sign in (-1, 0, 1):
        shift = -0.08900206 * log + sign * (0.04201137 * log + 0.41183342)
        panels[1].plot(times, shift, **DASHED)
    ages = {"1 s": 1.0, "1 day": DAY}
    for (label, t), colour in zip(ages.items(), COLOURS, strict=False):
        spread(panels[2], at, read(noise, g, g, t), color=colour, label=f"memcore, {label}")
        band = _band(t, 1e-6)
        published(panels[2], fine(at), partial(_log_noise, band), None)
    panels[1].set_xscale("log")
    labels = {
        "target (µS)": "std of writing (µS)",
        "age (s)": "shift, mean and std (µS)",
        "conductance (µS)": "std of a read (µS)",
    }
    for axes, (x, y) in zip(panels, labels.items(), strict=True):
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.plot([], [], label="published", **DASHED)
        legend(axes)
    panels[2].set_ylim(0.06, 0.28)


def reram_milo(figure: Any) -> None:
    """Error of writing, and what the measured current has beyond Ohm's law."""
    left, right = figure.subplots(1, 2)
    cell = memcore.devices["reram_milo"]()
    g, (write,) = cells(cell, window(50, 225, 8))
    spread(left, g[0, :, 0] / US, write(g), color=COLOURS[0], label="memcore")
    published(left, fine([50, 225]), lambda us: 4.782321 - 0.009107 * us, "published")
    left.plot((50, 225), (4.32697, 2.73325), label="reference", **CROSSES)
    voltage = torch.linspace(-0.5, 0.5, 101, dtype=torch.float64)
    for (us, (a, b)), colour in zip(MILO_CURVATURE.items(), COLOURS, strict=False):
        at = torch.tensor(us * US, dtype=torch.float64)
        beyond = (cell.curved_current(at, voltage) - at * voltage) / US
        right.plot(voltage, beyond, color=colour, label=f"memcore, {us:g} µS")
        some = voltage[::10]
        right.plot(some, a * some**2 + b * some**3, **CROSSES)
    right.plot([], [], label="reference", **CROSSES)
    left.set_xlabel("target (µS)")
    left.set_ylabel("std of writing (µS)")
    right.set_xlabel("voltage (V)")
    right.set_ylabel("current beyond Ohm's law (µA)")
    legend(left)
    legend(right, loc="lower center")


MILO_CURVATURE = {62.5: (-23.8389, 9.31972), 110.0: (-6.52441, -1.71007)}  #: uA/V^2, uA/V^3

STATISTICAL: dict[str, tuple[Callable[[Any], None], float]] = {
    "pcm": (pcm, 3.0),
    "pcm_hermes": (pcm_hermes, 3.0),
    "reram_wan2022": (reram_wan2022, 3.2),
    "reram_cmo": (reram_cmo, 3.0),
    "reram_milo": (reram_milo, 3.0),
}
