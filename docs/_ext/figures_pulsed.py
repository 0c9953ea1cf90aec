"""Pictures of pulsed devices: the mean cell and two hundred drawn ones, on the noise-free pulses.

Where no number of pulses was calculated elsewhere, the published equation is walked here pulse by
pulse, in plain numbers.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from figures_style import COLOURS, CROSSES, legend
from torch import Tensor

import memcore
from memcore import Context, Memristor, Normal, Stream

DRAWN = 200  #: cells
CALLS = 40  #: one after the other
CURVE = 400  #: points of the mean cell

Step = Callable[[float], float]


def train(
    axes: Any, device: Any, start: float, most: int, oracle: Mapping[int, float], **style: Any
) -> None:
    """Positions over `most` pulses, down if negative: mean cell, middle 68 % of cells, oracle."""
    count = torch.linspace(0, abs(most), CURVE + 1, dtype=torch.float64).round()
    sign = 1 if most > 0 else -1
    mean = _mean_cell(device)
    states = mean.pulses(_at(mean, start, len(count)), sign * count, Context(random=Stream(0)))
    axes.plot(count, mean.position(states), **style)
    count = torch.linspace(0, abs(most), CALLS + 1, dtype=torch.float64).round()
    drawn = torch.stack(_walks(device, start, sign * count.diff()))
    low, high = drawn.quantile(0.16, dim=1), drawn.quantile(0.84, dim=1)
    axes.fill_between(count, low, high, color=style["color"], alpha=0.2, linewidth=0)
    axes.plot(list(oracle), list(oracle.values()), **CROSSES)


def _mean_cell(device: Any) -> Any:
    quiet = {"write_std": 0.0} if hasattr(device, "write_std") else {}
    return dataclasses.replace(device.nominal(), c2c=0.0, **quiet)


def _walks(device: Any, start: float, counts: Tensor) -> list[Tensor]:
    """Positions [cells] of drawn cells before and after each lot of pulses."""
    ctx = Context(random=Stream(0))
    cells = device.sample((DRAWN,), ctx)
    state = _at(cells, start, DRAWN)
    found = [cells.position(state)]
    for n, count in enumerate(counts):
        state = cells.pulses(state, count.expand(DRAWN), ctx.child("write", n))
        found.append(cells.position(state))
    return found


def _at(device: Any, w: float, cells: int) -> Tensor:
    state: Tensor = device.state_at(torch.full((cells,), w, dtype=torch.float64))
    return state


def walk(step: Step, w: float, most: int, at: Iterable[int], low: float, high: float) -> Any:
    """The weights after `at` pulses of a noise-free step, which stops at its bounds."""
    found, places = {}, set(at)
    for n in range(1, most + 1):
        w = min(max(w + step(w), low), high)
        if n in places:
            found[n] = w
    return found


def both(axes: Any, device: Any, ends: tuple[float, float], most: int, up: Any, down: Any) -> None:
    """One train up from a weight, another down from one."""
    train(axes, device, ends[0], most, up, color=COLOURS[0], label="memcore, up")
    train(axes, device, ends[1], -most, down, color=COLOURS[1], label="memcore, down")
    axes.plot([], [], label="reference", **CROSSES)
    axes.set_xlabel("pulses")
    axes.locator_params(axis="x", nbins=5)


def _titled(axes: Any, title: str, columns: int = 2) -> None:
    """A title, and a legend above the curves."""
    axes.set_title(title, fontsize="medium")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + (0.3 if columns > 1 else 0.45) * (high - low))
    legend(axes, loc="upper center", ncols=columns)


def constant_step(figure: Any) -> None:
    """Both published sets: even steps until the bounds, n times the step."""
    panels = figure.subplots(1, 2)
    sets = {"gokmen_vlasov": (0.0016, 1600), "idealized": (2e-4, 12800)}
    for axes, (name, (step, most)) in zip(panels, sets.items(), strict=True):
        device = memcore.devices["constant_step"].preset(name)
        at = [most * n // 8 for n in range(1, 9)]
        up = {n: min(-1 + n * step, 1.0) for n in at}
        both(axes, device, (-1.0, 1.0), most, up, {n: -w for n, w in up.items()})
        _titled(axes, name)
    panels[0].set_ylabel("weight w (1 is 10 µS)")


def linear_step(figure: Any) -> None:
    """The published sets of capacitors and of electrochemical cells."""
    panels = figure.subplots(1, 3)
    sets = {
        "capacitor": (0.005, (1.0, -1.0), (0.05, 0.05), 400),
        "ecram": (0.002, (1.1724, -0.8276), (0.1153, 0.5085), 1200),
        "ecram_mo": (2.8214e-4, (1.1714, -0.8286), (0.4152, 0.7342), 9000),
    }
    for axes, (name, (step, ends, slopes, most)) in zip(panels, sets.items(), strict=True):
        device = memcore.devices["linear_step"].preset(name)
        _straight(axes, device, step, ends, slopes, most)
        axes.locator_params(axis="x", nbins=4)
        _titled(axes, name, columns=1)
    panels[0].set_ylabel("weight w (1 is 10 µS)")


def _straight(
    axes: Any,
    device: Any,
    step: float,
    ends: tuple[float, float],
    slopes: tuple[float, float],
    most: int,
) -> None:
    (high, low), (up, down) = ends, slopes
    at = range(most // 6, most + 1, most // 6)
    rising = walk(lambda w: step * (1 - up * w / high), low, most, at, low, high)
    falling = walk(lambda w: -step * (1 - down * w / low), high, most, at, low, high)
    both(axes, device, (low, high), most, rising, falling)


def soft_bounds(figure: Any) -> None:
    """Round numbers with a spread of 0.3, and the loose fit of ReRAM."""
    left, right = figure.subplots(1, 2)
    cls = memcore.devices["soft_bounds"]
    round_numbers = cls(dw_min=0.01, gain=Normal(1.0, 0.3, min=0.01), c2c=1.0)
    up = {1: 0.01, 10: 0.0956179, 100: 0.6339677, 400: 0.9820494}
    down = {1: 0.98, 10: 0.8087642, 100: -0.2679353, 400: -0.9640989}
    both(left, round_numbers, (0.0, 1.0), 400, up, down)
    up = {10: 0.0198566, 100: 0.1849567, 400: 0.5912222, 1000: 0.9979525}
    at = (10, 100, 400, 1000)
    down = walk(lambda w: -0.002 * (1 + w / 0.75), 1.25, 1000, at, -0.75, 1.25)
    both(right, cls.preset("reram_sb"), (0.0, 1.25), 1000, up, down)
    left.set_ylabel("weight w (1 is 10 µS)")
    _titled(left, "Δw 0.01, spread 0.3, noise 1")
    _titled(right, "reram_sb")


def exp_step(figure: Any) -> None:
    """ReRAM up and down, and phase change, which only goes up."""
    left, right = figure.subplots(1, 2)
    cls = memcore.devices["exp_step"]
    at = (1, 10, 100, 400, 1000)
    up = dict(zip(at, (-0.99705099, -0.971023, -0.7478237, -0.207551, 0.6555795), strict=True))
    down = dict(zip(at, (0.9869203, 0.8842534, 0.3773771, -0.2639759, -0.9981497), strict=True))
    both(left, cls.preset("reram_es"), (-1.0, 1.0), 1000, up, down)
    early = (1, 2, 4, 8, 16, 24, 30)
    up = walk(lambda w: 0.01 * (1 + 27.235 * math.exp(-2.5 * w)), 0.0, 30, early, 0.0, 2.0)
    label = {"color": COLOURS[0], "label": "memcore, up"}
    train(right, cls.preset("pcm"), 0.0, 30, up, **label)
    right.plot([], [], label="reference", **CROSSES)
    right.set_xlabel("pulses")
    left.set_ylabel("weight w (1 is 10 µS)")
    _titled(left, "reram_es")
    _titled(right, "pcm")


def pow_step(figure: Any) -> None:
    """Powers of 1.5 and of 3, with a spread and a noise chosen for the picture."""
    left, right = figure.subplots(1, 2)
    at = (1, 10, 100, 400)
    up = dict(zip(at, (0.0035355, 0.0345280, 0.2784071, 0.6574251), strict=True))
    both(left, _powers(1.5), (0.0, 0.0), 400, up, {n: -w for n, w in up.items()})
    steep = walk(lambda w: 0.01 * ((1 - w) / 2) ** 3, -1.0, 400, (25, 50, 100, 200, 400), -1, 1)
    both(right, _powers(3.0), (-1.0, 1.0), 400, steep, {n: -w for n, w in steep.items()})
    left.set_ylabel("weight w (1 is 10 µS)")
    _titled(left, "γ = 1.5")
    _titled(right, "γ = 3")


def _powers(gamma: float) -> Memristor:
    device: Memristor = memcore.devices["pow_step"](
        gamma_up=gamma, gamma_down=gamma, gain=Normal(1.0, 0.3, min=0.01), c2c=1.0
    )
    return device


def piecewise_step(figure: Any) -> None:
    """The tables of the default, walked along them and pulse by pulse."""
    left, right = figure.subplots(1, 2)
    tables = {"up": (1.5, 1.0, 0.75, 0.5), "down": (0.5, 0.75, 1.0, 1.5)}
    device = memcore.devices["piecewise_step"](gain=Normal(1.0, 0.3, min=0.01), c2c=1.0)
    at = (20, 50, 100, 150, 200, 300)
    up = walk(lambda w: 0.01 * _interpolated(tables["up"], w), -1.0, 300, at, -1, 1)
    down = walk(lambda w: -0.01 * _interpolated(tables["down"], w), 1.0, 300, at, -1, 1)
    both(left, device, (-1.0, 1.0), 300, up, down)
    w = torch.linspace(-1, 1, 201, dtype=torch.float64)
    for (name, values), sign, colour in zip(tables.items(), (1, -1), COLOURS, strict=False):
        change = _mean_cell(device).change(w, torch.full_like(w, sign) > 0)
        right.plot(w, 1e3 * change.abs(), color=colour, label=f"memcore, {name}")
        right.plot(torch.linspace(-1, 1, 4), [10 * value for value in values], **CROSSES)
    right.plot([], [], label="table", **CROSSES)
    right.set_xlabel("weight w")
    right.set_ylabel("step of a pulse (10⁻³)")
    left.set_ylabel("weight w (1 is 10 µS)")
    _titled(left, "Δw 0.01, spread 0.3, noise 1")
    _titled(right, "steps of the mean cell")


def _interpolated(values: tuple[float, ...], w: float) -> float:
    place = (w + 1) / 2 * (len(values) - 1)
    left = min(int(place), len(values) - 2)
    return values[left] + (place - left) * (values[left + 1] - values[left])


#: Of the published table: the position after half of the pulses for a label.
MIDDLES = {1.0: 0.59856075, 3.0: 0.78457994, 5.0: 0.93077570}


def neurosim(figure: Any) -> None:
    """A published device with its noise, and the curves of three labels."""
    left, right = figure.subplots(1, 2)
    device = memcore.devices["neurosim"].preset("ag_a_si")
    up = {n: _curve(n / 97, 0.4991812) for n in (10, 30, 50, 70, 97)}
    down = {n: 1 - _curve(n / 100, 0.20030343) for n in (10, 30, 50, 70, 100)}
    train(left, device, 0.0, 97, up, color=COLOURS[0], label="memcore, LTP")
    train(left, device, 1.0, -100, down, color=COLOURS[1], label="memcore, LTD")
    for (nl, middle), colour in zip(MIDDLES.items(), COLOURS, strict=False):
        bent = memcore.devices["neurosim"](nl_ltp=nl, n_ltp=100.0, c2c=0.0)
        known = {50: middle}
        if nl == 3.0:
            known = {1: 0.02760063, 10: 0.24637343, 50: middle, 100: 1.0}
        train(right, bent, 0.0, 100, known, color=colour, label=f"memcore, NL = {nl:g}")
    for axes, title in ((left, "ag_a_si"), (right, "LTP in 100 pulses")):
        axes.plot([], [], label="reference", **CROSSES)
        axes.set_xlabel("pulses")
        _titled(axes, title)
    left.set_ylabel("(G − g_min) / (g_max − g_min)")


def _curve(x: float, a: float) -> float:
    return math.expm1(-x / a) / math.expm1(-1 / a)


PULSED: dict[str, tuple[Callable[[Any], None], float]] = {
    "constant_step": (constant_step, 3.0),
    "linear_step": (linear_step, 3.0),
    "soft_bounds": (soft_bounds, 3.0),
    "exp_step": (exp_step, 3.0),
    "pow_step": (pow_step, 3.0),
    "piecewise_step": (piecewise_step, 3.0),
    "neurosim": (neurosim, 3.0),
}
