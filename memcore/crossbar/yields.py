"""What writing the arrays took: pulses, energy, time, errors, and the cells that were given up."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.records import Programmed
from memcore.ops.cell_forms import errors

#: Cells of which a record keeps the single values, for plots.
_KEPT = 10_000
#: Cells whose errors are looked at together.
_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Spent:
    """What writing some cells took.

    Args:
        cells: number of cells.
        pulses: mean for each cell.
        energy: J, all cells.
        time: s, all cells one after another.
    """

    cells: int
    pulses: float
    energy: float
    time: float


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
        window: S, nominal conductance range, which relates the errors; the widest of all lanes.
        sample: pulses, error in S and acceptance of evenly chosen cells, [3, n].
        lanes: what each lane took, where lanes have cells of their own.
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
    lanes: tuple[Spent, ...] = ()

    @classmethod
    def of(cls, programmed: Programmed, target: Tensor, array: ArrayInfo) -> Self:
        """The record of what a routine returned for `target` [arrays, rows, cols] S.

        Examples:
            >>> done = programmer.program(array, target, ctx)  # doctest: +SKIP
            >>> print(memcore.yields.ArrayYield.of(done, target, array).accepted)  # doctest: +SKIP
        """
        windows = [each.nominal.nominal_range() for each in array.lanes or (array,)]
        rms, worst = _errors(programmed, target, array)
        pulses = programmed.pulses
        return cls(
            name=array.name,
            cells=target.numel(),
            stuck=0 if array.stuck is None else _count_stuck(array.stuck),
            accepted=_mean(programmed.verified),
            pulses=_mean(pulses),
            most_pulses=int(pulses.max() if isinstance(pulses, Tensor) else pulses),
            reversals=_mean(programmed.reversals),
            energy=_mean(programmed.energy) * target.numel(),
            time=_mean(programmed.time) * target.numel(),
            error=rms,
            worst=worst,
            window=max(high - low for low, high in windows),
            sample=_sample(programmed, target, array),
            lanes=tuple(_spent(programmed, array)),
        )


def _spent(programmed: Programmed, array: ArrayInfo) -> Iterator[Spent]:
    """Of each lane with cells of its own, whose arrays follow each other."""
    first = 0
    for lane in array.lanes:
        some, cells = slice(first, first + lane.arrays), math.prod(lane.shape)
        pulses, energy, time = (
            _mean(value.expand(array.shape)[some] if isinstance(value, Tensor) else value)
            for value in (programmed.pulses, programmed.energy, programmed.time)
        )
        yield Spent(cells, pulses, energy * cells, time * cells)
        first = some.stop


def _errors(programmed: Programmed, target: Tensor, array: ArrayInfo) -> tuple[float, float]:
    """Root mean square of the errors, and the largest one of an accepted cell, S."""
    if programmed.error is None and programmed.conductance is target:
        return 0.0, 0.0
    if programmed.error is None and programmed.verified is True:
        squares, worst = errors(programmed.conductance.expand(array.shape), target)
        return math.sqrt(squares / target.numel()), worst
    # In pieces that stay in the cache: squares of microsiemens need float64, for which a large
    # network has no memory at once.
    squares, worst = 0.0, 0.0
    verified = programmed.verified
    for piece in torch.split(
        torch.arange(array.arrays, device="cpu"), max(1, _AT_ONCE // target[0].numel())
    ):
        some = slice(int(piece[0]), int(piece[-1]) + 1)
        error = _error(programmed, target, array, some)
        squares += float(error.double().square().sum())
        if verified is False:
            continue
        accepted = error.abs()
        if isinstance(verified, Tensor):
            accepted = accepted * verified.expand(array.shape)[some]
        worst = max(worst, float(accepted.max()))
    return math.sqrt(squares / target.numel()), worst


def _count_stuck(stuck: Tensor) -> int:
    return stuck.numel() - int(stuck.isnan().count_nonzero())


def _error(programmed: Programmed, target: Tensor, array: ArrayInfo, some: slice) -> Tensor:
    """Conductance less target of some of the arrays, S."""
    if programmed.error is not None:
        return programmed.error.expand(array.shape)[some]
    return programmed.conductance.expand(array.shape)[some] - target[some]


def _sample(programmed: Programmed, target: Tensor, array: ArrayInfo) -> Tensor:
    """Pulses, error in S and acceptance of evenly chosen cells, [3, n]."""
    step = -(-target.numel() // _KEPT)

    def strided(value: Tensor) -> Tensor:
        if value.numel() == 1:
            return value.reshape(()).expand(-(-target.numel() // step))
        return value.expand(array.shape).reshape(-1)[::step]

    pulses, verified = (
        strided(torch.as_tensor(value, device=target.device))
        for value in (programmed.pulses, programmed.verified)
    )
    if programmed.conductance is target and programmed.error is None:
        missed = strided(target.new_zeros(1))
    elif programmed.error is None:
        missed = strided(programmed.conductance) - strided(target)
    else:
        missed = strided(programmed.error)
    return torch.stack([each.float().cpu() for each in (pulses, missed, verified)])


def _mean(value: Tensor | float) -> float:
    return float(value.double().mean()) if isinstance(value, Tensor) else float(value)
