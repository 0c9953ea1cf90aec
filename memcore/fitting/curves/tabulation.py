"""Measured data beside what a device of measured curves makes of them, for `memcore.fit`."""

from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.fitting.curves.currents import conductance_of
from memcore.fitting.curves.runs import Runs, begin_of
from memcore.fitting.device_records import IVCurve
from memcore.fitting.tabulated import Tabulation
from memcore.modelling.curves import PulseTables
from memcore.modelling.family import Family

_FAR: Final = 0.02  #: rms distance from monotone curves that is worth a warning


def tabulation_of_runs(
    device: Memristor, runs: Runs, tables: PulseTables, departure: float
) -> Tabulation:
    """Every read, and the mean curve of its device; run after run.

    Args:
        device: what `memcore.fit` returns.
        runs: what was measured.
        tables: curves of the device.
        departure: rms distance of the mean curves from monotone ones, over the window.
    """
    measured, predicted = [], []
    for direction, table in enumerate(runs):
        low, span = tables.low[:-1, None], (tables.high - tables.low)[:-1, None]
        row = (torch.arange(len(table), device="cpu") + direction * len(tables.low))[:, None]
        first = begin_of(table)
        place = torch.arange(table.shape[2], dtype=torch.float64, device="cpu")[None] - first
        come = tables.curves.at(row, place).clamp(0, 1)
        curve = low + span * (come if direction == 0 else 1 - come)
        measured.append(table)
        predicted.append(curve[:, None].expand_as(table))
    kept = [_ordered(found) for found in (measured, predicted)]
    read = kept[0].isfinite()
    return Tabulation(
        device=device,
        unit="S",
        abscissa=torch.arange(len(read), dtype=torch.float64, device="cpu")[read],
        voltage=None,
        measured=kept[0][read],
        predicted=kept[1][read],
        warnings=tuple(_warnings(runs, departure)),
    )


def _warnings(runs: Runs, departure: float) -> Iterator[str]:
    if max(table.isfinite().any(2).sum(1).max() for table in runs) < 2:
        yield (
            "there is one cycle of each device: how pulses differ from cycle to cycle is not "
            "known, and is left out"
        )
    if len(runs.up) < 2:
        yield "there is one device: how devices differ is not known, and is left out"
    if departure > _FAR:
        yield (
            f"the mean curves are {100 * departure:.2g} % of the window away from monotone "
            "ones (rms): their ups and downs are left out; more cycles would average them out"
        )


def _ordered(tables: Sequence[Tensor]) -> Tensor:
    """Device by device, cycle by cycle, SET before RESET, [reads]."""
    up, down = tables
    cycles = max(up.shape[1], down.shape[1])
    parts = [
        table[d, c]
        for d in range(len(up))
        for c in range(cycles)
        for table in (up, down)
        if c < table.shape[1]
    ]
    return torch.cat(parts)


def tabulation_of_currents(
    device: Memristor,
    curves: Sequence[IVCurve],
    family: Family,
    read_voltage: float,
    *,
    mirrored: bool,
) -> Tabulation:
    """Every sample within the common range of voltages, and the curve of its state.

    Args:
        device: what `memcore.fit` returns.
        curves: what was measured.
        family: curves of the device.
        read_voltage: V, at which the current tells the conductance.
        mirrored: whether one sign of the voltage was measured only.
    """
    low, high = (float(v) for v in family.voltage.values[0, [0, -1]])
    rows = []
    for curve in curves:
        inside = (curve.voltage >= low) & (curve.voltage <= high)
        v, i = curve.voltage[inside], curve.current[inside]
        g = conductance_of(curve, read_voltage)
        rows.append((v, i, family.at(g.expand_as(v), v)))
    voltage, measured, predicted = (torch.cat(column) for column in zip(*rows, strict=True))
    warnings = (
        ("one sign of the voltage was measured: the other side is its mirror image",)
        if mirrored
        else ()
    )
    return Tabulation(
        device=device,
        unit="A",
        abscissa=torch.arange(len(voltage), dtype=torch.float64, device="cpu"),
        voltage=voltage,
        measured=measured,
        predicted=predicted,
        warnings=warnings,
    )
