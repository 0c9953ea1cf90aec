"""Runs a deck with a `.tran` analysis and reads the waves that ngspice prints."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from memcore.errors import SpiceError
from memcore.spice.ngspice import Printed, printed

_ROW = re.compile(r"^\d+\t")


@dataclass(frozen=True, eq=False)
class Waves:
    """Waves that ngspice printed, at the times that it chose.

    Attributes:
        time: times in s, [points], float64.
        values: voltages in V and currents in A by the names that ngspice gives them, such as
            `v(c_0)` and `i(vs_0)`, [points] each.
    """

    time: Tensor
    values: Mapping[str, Tensor]

    def at(self, times: Tensor) -> dict[str, Tensor]:
        """The values at other times in s, on straight lines between the points."""
        wanted = times.detach().to("cpu", torch.float64).numpy()
        known = self.time.numpy()
        return {
            name: torch.from_numpy(np.interp(wanted, known, wave.numpy()))
            for name, wave in self.values.items()
        }


def run_transient(deck: str, *, timeout: float | None = None) -> Waves:
    """Let ngspice run a deck with a `.tran` analysis that prints its waves.

    Args:
        deck: a deck as `memcore.spice.transient` writes it.
        timeout: time in s after which ngspice is stopped; None for no limit.

    Raises:
        SpiceError: ngspice is not installed, takes too long, or prints no waves.
    """
    done = printed(deck, timeout, "fewer cells or samples")
    tables = _tables(done)
    if done.failed or not tables:
        raise SpiceError(f"ngspice printed no waves: {done.message}")
    time = tables[0][1][0]
    values: dict[str, Tensor] = {}
    for names, columns in tables:
        values |= dict(zip(names[1:], columns[1:], strict=True))
    return Waves(time, values)


def _tables(done: Printed) -> list[tuple[list[str], list[Tensor]]]:
    """The names and the columns of all tables, times first; headings repeat on each page."""
    found: dict[tuple[str, ...], list[list[float]]] = {}
    rows: list[list[float]] = []
    for line in done.stdout.splitlines():
        if line.startswith("Index"):
            rows = found.setdefault(tuple(line.split()[1:]), [])
        elif _ROW.match(line):
            rows.append([float(number) for number in line.split()[1:]])
    return [
        (list(names), list(torch.tensor(rows, dtype=torch.float64, device="cpu").unbind(1)))
        for names, rows in found.items()
        if rows
    ]
