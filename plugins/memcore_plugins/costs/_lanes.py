"""What cells of several kinds cost: figures that lanes with cells of their own have one each."""

from collections.abc import Iterator
from typing import TypeVar

from memcore import ArrayInfo, ConfigError

T = TypeVar("T")


def of_lanes(name: str, values: tuple[T, ...], array: ArrayInfo) -> Iterator[tuple[T, int]]:
    """A figure for each kind of cells, with the number of arrays that have them.

    Args:
        name: of the parameter, for messages.
        values: the only figure, of all cells, or one for each lane, the lowest first.
        array: arrays of a matrix.

    Raises:
        ConfigError: there are not as many figures as kinds of cells.
    """
    kinds = array.lanes or (array,)
    values = values * len(kinds) if len(values) == 1 else values
    if len(values) != len(kinds):
        whose = f"layer {array.name!r}" if array.name else "the layer"
        has = f"{len(kinds)} lanes with cells of their own" if array.lanes else "cells of one kind"
        several = f", or {len(kinds)}, the lowest lane first" if array.lanes else ""
        raise ConfigError(
            f"{name} has {len(values)} entries, and {whose} has {has}; expected "
            f"one for all{several}"
        )
    yield from ((each, kind.arrays) for each, kind in zip(values, kinds, strict=True))


def cells_area(cell_area: float | tuple[float, ...], array: ArrayInfo, arrays: int) -> float:
    """Area in m^2 of the cells of the first arrays of a matrix, lane after lane.

    Args:
        cell_area: area of a cell in m^2, or of one of each lane.
        array: all arrays of the matrix.
        arrays: number of those that have a place on the chip.
    """
    areas = cell_area if isinstance(cell_area, tuple) else (cell_area,)
    total = 0.0
    for each, count in of_lanes("cell_area", areas, array):
        total += each * min(count, arrays) * array.rows * array.cols
        arrays = max(0, arrays - count)
    return total
