"""Thousands of cells of a device under its own effects, and the published curves beside them."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from figures_style import DASHED
from torch import Tensor

from memcore import ArrayInfo, Context, Memristor, Stream

CELLS = 4000  #: each point is the statistics of so many
US = 1e-6  #: S in a microsiemens
DAY = 86400.0  #: s


def cells(device: Memristor, targets: Tensor, seed: int = 0) -> tuple[Tensor, list[Any]]:
    """Targets [1, points, cells] in S, and the effects of the device bound to these cells."""
    ctx = Context(random=Stream(seed))
    array = ArrayInfo(arrays=1, rows=len(targets), cols=CELLS, device=device, nominal=device)
    bound = [e.bind(array, ctx.child(type(e).__name__)) for e in device.effects()]
    return targets.reshape(1, -1, 1).expand(1, -1, CELLS), bound


def seconds(t: float) -> Tensor:
    """As effects of ageing take them."""
    return torch.tensor(t, dtype=torch.float64)


def read(noise: Any, programmed: Tensor, g: Tensor, t: float) -> Tensor:
    """One read of each cell, S."""
    noise.settle(programmed, seconds(t))
    current: Tensor = noise(g.unsqueeze(0), Stream(1).at(torch.arange(1)))[0]
    return current


def spread(axes: Any, x: Tensor, sample: Tensor, scale: float = US, **style: Any) -> None:
    """The standard deviation of samples [1, points, cells] against x; bars of two errors of it."""
    std = sample[0].std(-1) / scale
    error = 2 * std / math.sqrt(2 * CELLS)
    axes.errorbar(x, std, error, linestyle="", marker="o", markersize=4, **style)


def window(low: float, high: float, points: int = 9) -> Tensor:
    """Evenly spaced conductances in S from two in uS."""
    return torch.linspace(low, high, points, dtype=torch.float64) * US


def published(axes: Any, x: Tensor, curve: Callable[[float], float], label: str | None) -> None:
    """A curve that was published, dashed."""
    axes.plot(x, [curve(float(v)) for v in x], label=label, **DASHED)


def fine(x: Iterable[float]) -> Tensor:
    """A hundred places from the first to the last of x."""
    values = [float(v) for v in x]
    return torch.linspace(values[0], values[-1], 100, dtype=torch.float64)


def polynomial(x: float, ascending: Iterable[float]) -> float:
    """c0 + c1 x + c2 x^2 + ..."""
    return sum(c * x**n for n, c in enumerate(ascending))
