"""What writing the arrays took: pulses, energy, time, errors, and the cells that were given up."""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.records import Programmed

#: Cells of which a record keeps the single values, for plots.
_KEPT = 10_000


@dataclass(frozen=True)
class ArrayYield:
    """How the last writing of one layer's arrays went; unused cells of a tile count.

    Args:
        name: the layer's qualified name.
        cells: of all arrays.
        stuck: how many of them no pulse moves, whether or not the routine noticed.
        accepted: share of the cells that the routine accepted.
        pulses: mean for each cell.
        most_pulses: of any cell.
        reversals: mean for each cell.
        energy: J, all cells.
        time: s, all cells one after another.
        error: S, root mean square of conductance less target.
        worst: S, the largest error of an accepted cell; 0 if there is none.
        window: S, nominal conductance range, which relates the errors.
        sample: pulses, error in S and acceptance of evenly chosen cells, [3, n].
    """

    name: str
    cells: int
    stuck: int
    accepted: float
    pulses: float
    most_pulses: int
    reversals: float
    energy: float
    time: float
    error: float
    worst: float
    window: float
    sample: Tensor

    @classmethod
    def of(cls, programmed: Programmed, target: Tensor, array: ArrayInfo) -> Self:
        """The record of what a routine returned for `target` [arrays, rows, cols] S.

        Examples:
            >>> done = programmer.program(array, target, ctx)  # doctest: +SKIP
            >>> print(memcore.yields.ArrayYield.of(done, target, array).accepted)  # doctest: +SKIP
        """
        low, high = array.nominal.nominal_range()
        error = programmed.error
        error = programmed.conductance - target if error is None else error
        error, verified = error.expand(array.shape), _full(programmed.verified, error, array)
        pulses = _full(programmed.pulses, error, array)
        accepted = error.abs() if isinstance(programmed.verified, bool) else error.abs() * verified
        step = -(-target.numel() // _KEPT)
        kept = [x.flatten()[::step].float().cpu() for x in (pulses, error, verified)]
        return cls(
            name=array.name,
            cells=target.numel(),
            stuck=0 if array.stuck is None else int((~array.stuck.isnan()).sum()),
            accepted=_mean(programmed.verified),
            pulses=_mean(programmed.pulses),
            most_pulses=int(pulses.max()),
            reversals=_mean(programmed.reversals),
            energy=_mean(programmed.energy) * target.numel(),
            time=_mean(programmed.time) * target.numel(),
            error=_root_mean_square(error),
            worst=float(accepted.max()) if programmed.verified is not False else 0.0,
            window=high - low,
            sample=torch.stack(kept),
        )


def _root_mean_square(error: Tensor) -> float:
    # Squares of microsiemens need float64, which a large network has no memory for at once.
    parts = torch.split(error.flatten(), 1 << 18)
    squares = sum(float(part.double().square().sum()) for part in parts)
    return math.sqrt(squares / error.numel())


def _full(value: Tensor | float, like: Tensor, array: ArrayInfo) -> Tensor:
    return torch.as_tensor(value, device=like.device).expand(array.shape)


def _mean(value: Tensor | float) -> float:
    return float(value.double().mean()) if isinstance(value, Tensor) else float(value)
