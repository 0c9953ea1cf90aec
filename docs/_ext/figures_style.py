"""What the pictures of the physics pages have in common: colours, marks, and the oracles."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

#: Colours that colour-blind readers tell apart (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
ORACLES = Path(__file__).parent.parent.parent / "tests" / "oracles"

#: How what did not come from memcore is drawn: numbers as crosses, curves dashed.
CROSSES = {"linestyle": "", "marker": "x", "color": "black", "markersize": 6, "zorder": 4}
DASHED = {"linestyle": (0, (4, 2)), "color": "black", "linewidth": 1.0, "zorder": 3}
DOTS = {"linestyle": "", "marker": ".", "color": "black", "markersize": 3, "zorder": 4}


def table(name: str) -> dict[str, Tensor]:
    """The columns of an oracle in CSV, float64."""
    text = (ORACLES / name).read_text().splitlines()
    header, *lines = (line for line in text if not line.startswith("#"))
    rows = [[float(x) for x in line.split(",")] for line in lines]
    columns = torch.tensor(rows, dtype=torch.float64).T
    return dict(zip(header.split(","), columns, strict=True))


def numbers(name: str) -> Any:
    """An oracle in JSON."""
    return json.loads((ORACLES / name).read_text())


def legend(axes: Any, **where: Any) -> None:
    """A legend without a frame, in small letters."""
    axes.legend(frameon=False, fontsize="small", **where)
