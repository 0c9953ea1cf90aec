"""Measured curves: strictly ascending rows, looked up forwards and backwards."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import inf
from typing import Final, NamedTuple, Self

import torch
from torch import Tensor

from memcore.errors import ConfigError
from memcore.modelling.state import taken, whole

#: A flat part of a curve rises by this share of the window per pulse, so that it can be inverted.
_LEAST: Final = 1e-6

Rows = tuple[tuple[float, ...], ...]


class Curves(NamedTuple):
    """Rows of values at 0, 1, 2, ...; a straight line in between and beyond.

    Args:
        values: ascending along each row, [rows, length], length >= 2.
    """

    values: Tensor

    def to(self, like: Tensor) -> Self:
        """The same curves for lookups of the dtype and the torch device of `like`."""
        where = self.values.device if like.is_meta else like.device  # `taken` moves them
        return self._replace(values=self.values.to(where, like.dtype))

    def at(self, row: Tensor | int, place: Tensor) -> Tensor:
        """The value at a place, which may be a fraction."""
        left = place.detach().floor().clamp(0, self.values.shape[1] - 2)
        return self._line(row, left, place)

    def place(self, row: Tensor | int, value: Tensor) -> Tensor:
        """Where a row has a value: halving for the last entry that is not above it."""
        length, flat = self.values.shape[1], self.values.flatten()
        wanted, first = value.detach(), row * length
        left = whole(torch.zeros_like(wanted))
        for bit in reversed(range((length - 1).bit_length())):
            ahead = left + (1 << bit)
            below = taken(flat, first + ahead.clamp(max=length - 2)) <= wanted
            left = torch.where((ahead <= length - 2) & below, ahead, left)
        start, end = taken(flat, first + left), taken(flat, first + left + 1)
        return left + (value - start) / (end - start)

    def _line(self, row: Tensor | int, left: Tensor, place: Tensor) -> Tensor:
        flat = self.values.flatten()
        corner = row * self.values.shape[1] + whole(left)
        start, end = taken(flat, corner), taken(flat, corner + 1)
        return start + (end - start) * (place - left)


class PulseTables(NamedTuple):
    """What pulses do to each measured device, and last to the mean of all; see `pulse_tables`.

    Args:
        low: S, lowest conductance, [devices + 1].
        high: S, highest conductance, [devices + 1].
        curves: how far cells have come from the end they leave, over the window: first the rows of
            SET, then those of RESET, [2 (devices + 1), pulses + 1].
        window: S, the last of `low` and of `high`, as numbers.
    """

    low: Tensor
    high: Tensor
    curves: Curves
    window: tuple[float, float]

    @property
    def mean(self) -> int:
        """The row of the mean of all devices."""
        return len(self.low) - 1


# Cells are picked by making their device anew, so checks and tables are kept.
@lru_cache(maxsize=64)
def require_rows(rows: Rows, name: str, *, falling: bool = False) -> Rows:
    """Rows of conductances in S as numbers, each ascending, or descending if `falling`.

    Args:
        rows: as many values in each, two or more.
        name: of the parameter, for the message.
        falling: whether the conductances fall along a row.

    Raises:
        ConfigError: naming the row.
    """
    sign, word = (-1, "descending") if falling else (1, "ascending")
    rows = tuple(tuple(float(g) for g in row) for row in rows)
    for number, row in enumerate(rows):
        steps = [sign * (b - a) for a, b in pairwise(row)]
        same = len(row) == len(rows[0]) > 1
        if not (same and 0 < min(row) <= max(row) < inf and min(steps) >= 0 and max(steps) > 0):
            raise ConfigError(
                f"row {number} of {name} has {len(row)} values; expected two or more siemens > 0, "
                f"{word}, as many in each row: take a device's from_pulses, which makes them so"
            )
    return rows


@lru_cache(maxsize=64)
def pulse_tables(ltp: Rows, ltd: Rows) -> PulseTables:
    """The tables of measured curves.

    For example::

        tables = pulse_tables(ltp=((1e-5, 4e-5, 6e-5),), ltd=((6e-5, 3e-5, 1e-5),))
        place = tables.curves.place(tables.mean, torch.tensor(0.5))  # pulses to half of the window

    Args:
        ltp: S before the first SET pulse and after each, ascending, [devices, pulses + 1].
        ltd: S before the first RESET pulse and after each, descending.
    """
    up, down = (_with_mean(rows) for rows in (ltp, ltd))
    low, high = torch.minimum(up[:, 0], down[:, -1]), torch.maximum(up[:, -1], down[:, 0])
    span = (high - low)[:, None]
    rows = [_strict((up - low[:, None]) / span), _strict((high[:, None] - down) / span)]
    longest = max(r.shape[1] for r in rows)
    curves = Curves(torch.cat([_continued(r, longest) for r in rows]))
    return PulseTables(low, high, curves, (float(low[-1]), float(high[-1])))


@lru_cache(maxsize=64)
def deviations(*tables: tuple[float, ...]) -> tuple[Curves, ...]:
    """Lookups of deviations at equally spaced places; none is 0, one holds everywhere."""
    rows = [2 * table if len(table) == 1 else table or (0.0, 0.0) for table in tables]
    return tuple(map(single, rows))


def single(values: Sequence[float]) -> Curves:
    """The lookup of one row; backwards only if it ascends."""
    return Curves(torch.tensor([list(values)], dtype=torch.float64, device="cpu"))


def _with_mean(rows: Rows) -> Tensor:
    measured = torch.tensor(rows, dtype=torch.float64, device="cpu")
    return torch.cat([measured, measured.mean(0, keepdim=True)])


def _strict(rows: Tensor) -> Tensor:
    steps = rows.diff(dim=1).clamp(min=_LEAST)
    return torch.cat([rows[:, :1], rows[:, :1] + steps.cumsum(1)], dim=1)


def _continued(rows: Tensor, length: int) -> Tensor:
    """Rows of this length, which go on with their last step."""
    more = torch.arange(1, length - rows.shape[1] + 1, dtype=rows.dtype, device="cpu")
    return torch.cat([rows, rows[:, -1:] + (rows[:, -1:] - rows[:, -2:-1]) * more], dim=1)
