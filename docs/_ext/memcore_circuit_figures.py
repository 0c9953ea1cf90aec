"""Draws the figures of the page on circuits."""

from collections.abc import Callable
from typing import Any

import torch
from figures_style import COLOURS
from memcore_figures import draw_all
from torch import Tensor

import memcore
from memcore.circuit import Drive, ThresholdSelector, ramp, solve

LOAD = 1e4  # ohm
SELECTOR = ThresholdSelector(v_th=0.8, v_hold=0.3, r_on=2e3, r_off=1e7)


def threshold_selector(figure: Any) -> None:
    """The loop of one cell, and the law without memory."""
    axes = figure.subplots()
    up = torch.linspace(0, 1.4, 71, dtype=torch.float64)
    volts = torch.cat([up, up.flip(0)])
    axes.plot(volts, 1e6 * _loop(volts), color=COLOURS[0], label="ramp, up and down")
    g = torch.full((1, 1), 1 / LOAD, dtype=torch.float64)
    drive = Drive.read(up.unsqueeze(-1))
    law = solve(g, memcore.Wires(), drive, series=SELECTOR).current[:, 0]
    axes.plot(up, 1e6 * law, "--", color=COLOURS[1], label="solve, without memory")
    axes.set_xlabel("voltage of the cell (V)")
    axes.set_ylabel("current (µA)")
    axes.legend(frameon=False, fontsize="small")


def _loop(volts: Tensor) -> Tensor:
    """A of one cell that follows the voltages."""
    g = torch.full((1, 1), 1 / LOAD, dtype=torch.float64)
    on: Tensor | None = None
    start: Drive | None = None
    current = []
    for v in volts:
        drive = Drive.read(v.view(1))
        step = ramp(g, memcore.Wires(), drive, series=SELECTOR, start=start, on=on, steps=1)
        current.append(step.current[0])
        start, on = drive, step.on
    return torch.stack(current)


FIGURES: dict[str, tuple[Callable[[Any], None], float]] = {
    "threshold_selector": (threshold_selector, 2.8),
}


def setup(app: Any) -> dict[str, Any]:
    """Draw when a build starts."""
    app.connect("builder-inited", lambda _: draw_all(figures=FIGURES))
    return {"version": "1", "parallel_read_safe": True}
