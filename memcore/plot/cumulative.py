"""The distributions of the ends of the resistance window over cells."""

from typing import TYPE_CHECKING, Any

import torch

from memcore import _check
from memcore._tensor import as_tensor
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.contracts.units import MOST_CELLS
from memcore.plot import axes as common
from memcore.random import Stream

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def cumulative(
    device: Memristor, *, cells: int = 1000, seed: int = 0, ax: "Axes | None" = None
) -> "Axes":
    """Draw the cumulative distributions of r_on and r_off over `cells` drawn devices.

    Args:
        device: device, whose parameters may be distributions.
        cells: number of cells to draw.
        seed: random seed.
        ax: Axes to draw on; by default in a new figure.

    Raises:
        ConfigError: there are no cells.
    """
    common.of_kind("device", device, Memristor, 'memcore.devices["vteam"]() for instance')
    cells = _check.integer("cells", cells, at_least=1, at_most=MOST_CELLS)
    drawn = device.sample((cells,), Context(random=Stream(seed).child("cumulative")))
    lowest, highest = drawn.conductance_range()
    ax = common.axes(ax)
    unit, factor = _unit(device)
    for g, name, colour in ((highest, "r_on", 0), (lowest, "r_off", 1)):
        r = _sorted(g, cells) * factor
        ax.step(
            r,
            [(k + 0.5) / cells for k in range(cells)],
            where="mid",
            label=name,
            color=common.COLOURS[colour],
            linestyle=common.DASHES[colour],
        )
    ax.set_xscale("log")
    ax.set(xlabel=f"resistance / {unit}", ylabel="part of the cells")
    ax.set_title(type(device).__name__)
    ax.legend(frameon=False)
    return ax


def _unit(device: Memristor) -> tuple[str, float]:
    one = 1 / device.nominal_range()[0]
    shown, unit = common.scaled(torch.tensor([one], dtype=torch.float64, device="cpu"), "Ω")
    return unit, float(shown[0]) / one


def _sorted(conductance: Any, cells: int) -> Any:
    r = 1 / as_tensor(conductance, dtype=torch.float64)
    return r.expand(cells).sort().values.numpy()
