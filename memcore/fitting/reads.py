"""From the columns of a table to reads between pulses: how many pulses, and what was read."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor

from memcore.errors import ConfigError
from memcore.fitting.table import Table
from memcore.fitting.units import read

_READ_AS: Final = ("conductance", "resistance", "current")
_VARIED: Final = 0.02  #: share by which amplitudes of one direction may differ

Reads = tuple[Tensor, Tensor, tuple[str, ...]]


def reads_of(
    table: Table, columns: Mapping[str, Any], label: str, read_voltage: float | None
) -> Reads:
    """Signed numbers of pulses since the read before, conductances in S, and remarks.

    Args:
        table: table of pulses.
        columns: headings of the columns, for messages.
        label: name of the data in messages.
        read_voltage: voltage of the reads in V, where currents were read.

    Raises:
        ConfigError: a column is missing or does not fit.
    """
    if "ltp" in table.values or "ltd" in table.values:
        return _side_by_side(table, columns, label, read_voltage)
    if "direction" not in table.values:
        raise ConfigError(
            'columns has no direction; expected columns={"direction": ...} with up or down in each '
            "row, beside conductance, resistance or current; or the two columns ltp and ltd"
        )
    given = [name for name in _READ_AS if name in table.values]
    if len(given) != 1:
        raise ConfigError(
            f"columns has {', '.join(columns)}; expected one of conductance, resistance and current"
        )
    values = conductance_of_reads(table, given[0], given[0], read_voltage)
    count, values, dropped = _without_marks(_counts(table, label), values, label)
    remarks = (*_amplitudes(table), *dropped)
    return count, values, remarks


def conductance_of_reads(
    table: Table, name: str, dimension: str, read_voltage: float | None
) -> Tensor:
    """The values of a column in S, NaN where a sample is dropped.

    Args:
        table: table with the column.
        name: name of the column.
        dimension: whether it holds a conductance, a resistance or a current.
        read_voltage: voltage of the reads in V, where currents were read.

    Raises:
        ConfigError: a current, whose voltage is not declared.
    """
    values = table.values[name]
    if dimension == "conductance":
        return values
    if dimension == "resistance":
        return 1 / values
    if read_voltage is None or not read_voltage:
        raise ConfigError(
            f"{name} is a current, but the voltage at which it was read is not declared; expected "
            "read_voltage=volts: G = I / V"
        )
    return values / read_voltage


def _counts(table: Table, label: str) -> Tensor:
    """The pulses before each read; numbers may begin anew where the direction changes."""
    direction = table.values["direction"]
    if "pulse" not in table.values:
        return direction
    number = table.values["pulse"]
    if not bool((number == number.round()).all()) or bool((number < 0).any()):
        wrong = number[(number != number.round()) | (number < 0)]
        raise ConfigError(
            f"{_at(label)}pulse has fractions or is below 0, such as {float(wrong[0])!r}; expected "
            "whole numbers of pulses, 0 for a read before the first one"
        )
    since = number.diff(prepend=number.new_zeros(1))
    turned = torch.zeros_like(number, dtype=torch.bool)
    turned[1:] = direction[1:] != direction[:-1]
    since = torch.where(turned & (since <= 0), number, since)
    if not bool((since >= 0).all()):
        first = int((since < 0).nonzero()[0])
        raise ConfigError(
            f"{_at(label)}the numbers of the pulses descend within one direction, from "
            f"{float(number[first - 1]):g} to {float(number[first]):g} in row {first + 1} of the "
            "data; expected them to count on, or to begin anew where the direction changes, 0 "
            "being a read before the first pulse: give each device its label in a column device"
        )
    return direction * since


def _side_by_side(
    table: Table, columns: Mapping[str, Any], label: str, read_voltage: float | None
) -> Reads:
    """Potentiation and depression in two columns, one block of pulses after the other."""
    missing = [name for name in ("ltp", "ltd") if name not in table.values]
    extra = [name for name in columns if name in ("direction", *_READ_AS)]
    if missing or extra:
        raise ConfigError(
            f"columns has {', '.join(columns)}; expected both ltp and ltd, and beside them only "
            "pulse and device"
        )
    units: Any = table.source["units"]
    known = {name: read(units[name]) or ("", 1.0) for name in ("ltp", "ltd")}
    sides = {
        name: conductance_of_reads(table, name, dimension, read_voltage)
        for name, (dimension, _) in known.items()
    }
    rows = len(sides["ltp"])
    number = table.values.get(
        "pulse", torch.arange(1.0, rows + 1, dtype=torch.float64, device="cpu")
    )
    if not bool((number == number.round()).all()) or bool((number < 0).any()):
        raise ConfigError(
            f"{_at(label)}pulse has fractions or is below 0; expected whole numbers of pulses"
        )
    starts = [0, *(1 + (number.diff() <= 0).nonzero().flatten()).tolist(), rows]
    count, values = [], []
    for begin, end in pairwise(starts):
        for name, sign in (("ltp", 1.0), ("ltd", -1.0)):
            side = sides[name][begin:end]
            read_there = ~table.blank[name][begin:end]
            count.append(sign * number[begin:end][read_there].diff(prepend=number.new_zeros(1)))
            values.append(side[read_there])
    return _without_marks(torch.cat(count), torch.cat(values), label)


def _without_marks(
    count: Tensor, values: Tensor, label: str
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """The reads without those that were dropped, whose pulses count for the next read."""
    known = values.isfinite()
    if bool(known.all()):
        return count, values, ()
    kept: list[float] = []
    since = 0.0
    for number, there in zip(count.tolist(), known.tolist(), strict=True):
        if since * number < 0:
            raise ConfigError(
                f"{_at(label)}a sample that is to be dropped is the last read of its direction, "
                "and what its pulses did is not known; expected a measured value there"
            )
        since += number
        if there:
            kept.append(since)
            since = 0.0
    dropped = int((~known).sum())
    note = f"{dropped} reads that an instrument marks were left out"
    return torch.tensor(kept, dtype=torch.float64, device="cpu"), values[known], (note,)


def amplitudes_of(table: Table) -> tuple[float, float] | None:
    """The median amplitudes above 0 and below in a column of directions; None if one is missing."""
    if table.amplitudes is None:
        return None
    sides = [table.amplitudes[table.amplitudes * sign > 0] for sign in (1.0, -1.0)]
    if not all(len(side) for side in sides):
        return None
    return float(sides[0].median()), float(sides[1].median())


def _amplitudes(table: Table) -> tuple[str, ...]:
    """A remark on amplitudes that differ, which a device of identical pulses does not know."""
    if table.amplitudes is None:
        return ()
    remarks = []
    for sign in (1.0, -1.0):
        some = table.amplitudes[table.amplitudes * sign > 0].abs()
        if len(some) and float(some.max()) > (1 + _VARIED) * float(some.min()):
            word = "SET" if sign > 0 else "RESET"
            remarks.append(
                f"amplitudes of {word} pulses go from {float(some.min()):g} to "
                f"{float(some.max()):g}, but pulses of one direction count as identical"
            )
    return tuple(remarks)


def _at(label: str) -> str:
    return f"{label}: " if label else ""
