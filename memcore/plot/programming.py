"""The result of writing: accepted cells against pulses, and their errors."""

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from memcore._text import shown
from memcore.crossbar.yields import ArrayYield
from memcore.errors import ConfigError
from memcore.plot import axes as common
from memcore.report.yields import YieldReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 60


def programming(
    written: YieldReport | ArrayYield,
    *,
    show: Literal["pulses", "error"] = "pulses",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the share of accepted cells against pulses, or the distribution of the errors.

    Args:
        written: report of `memcore.yields.yield_report(model)`, or the record of one layer.
        show: what to draw: `"pulses"`, or `"error"` of all cells in percent of the window.
        ax: Axes to draw on; by default in a new figure.

    Raises:
        ConfigError: there is no such view.
    """
    common.of_kind(
        "written",
        written,
        (YieldReport, ArrayYield),
        "memcore.yields.yield_report(model) returns one",
    )
    if not isinstance(show, str) or show not in ("pulses", "error"):
        raise ConfigError(f"show={shown(show)}; expected 'pulses' or 'error'")
    layers = written.layers if isinstance(written, YieldReport) else (written,)
    ax = common.axes(ax)
    draw = _pulses if show == "pulses" else _errors
    for index, layer in enumerate(layers):
        draw(
            ax,
            layer,
            label=layer.name,
            color=common.COLOURS[index % len(common.COLOURS)],
            linestyle=common.DASHES[index % len(common.DASHES)],
        )
    labels = ("pulses", "part of the cells accepted")
    if show == "error":
        labels = ("error / % of the window", "cells")
    ax.set(xlabel=labels[0], ylabel=labels[1])
    if any(layer.name for layer in layers):
        ax.legend(frameon=False)
    return ax


def _pulses(ax: "Axes", layer: ArrayYield, **style: Any) -> None:
    pulses, _, verified = layer.sample
    spent = pulses[verified > 0].sort().values
    share = torch.arange(1, len(spent) + 1, device="cpu") / len(pulses)
    ax.step(spent.numpy(), share.numpy(), where="post", **style)
    ax.set_ylim(0, 1.02)


def _errors(ax: "Axes", layer: ArrayYield, **style: Any) -> None:
    percent: Tensor = 100 * layer.sample[1] / layer.window
    ax.hist(percent.numpy(), bins=_BINS, histtype="step", **style)
