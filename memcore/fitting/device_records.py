"""Measurements of several devices, cycles or states, for devices that hold what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from memcore.errors import ConfigError
from memcore.fitting.dialect import Dialect
from memcore.fitting.measurements import OF_PULSES, PULSES, PulseData, settle
from memcore.fitting.on_off_data import OF_ON_OFF, OnOffData, read_on_off
from memcore.fitting.table import Table, read_table
from memcore.fitting.units import Quantity

_PULSES: Final[Mapping[str, Quantity]] = {**PULSES, "device": Quantity("label")}
_CURVES: Final[Mapping[str, Quantity]] = {
    "voltage": Quantity("voltage"),
    "current": Quantity("current"),
    "curve": Quantity("label"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class IVCurve:
    """The current of a cell in one state, which the voltages do not move.

    Args:
        voltage: voltages in V, in any order, numbers or a tensor [samples].
        current: currents in A, numbers or a tensor [samples].
        source: origin of the numbers, for the provenance.
        label: name of the curve in messages.
        remarks: remarks for the user.
    """

    voltage: Any
    current: Any
    source: Mapping[str, object] = field(default_factory=dict, repr=False)
    label: str = ""
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        settle(self, ("voltage", "current"), least=2, label=self.label)


#: What was measured: the pulses of each device, the currents in each state, or two states of each.
Records = Sequence[PulseData] | Sequence[IVCurve] | Sequence[OnOffData]


def load_records(
    data: PulseData | IVCurve | OnOffData | Records | str | Path,
    columns: Mapping[str, Any] | None,
    units: Mapping[str, str] | None,
    read_voltage: float | None = None,
    **dialect: Any,
) -> Records:
    """Take records as they are, or read them from a text file whose columns tell their kind.

    Args:
        data: the records, or the path of a file.
        columns: headings by meaning, or numbers from 1: `direction`, and `conductance`,
            `resistance` or `current`, and perhaps `pulse` and `device`; or `ltp` and `ltd` in
            place of direction and value; or `voltage`, `current` and `curve`, which names the
            state; or `on` and `off`, or `state` and a value, of cells with two states.
        units: units by meaning; `device`, `curve` and `direction` have none.
        read_voltage: voltage at which currents after pulses were read, in V.
        dialect: how the file is written, by the names in `fitting.Dialect`.

    Raises:
        ConfigError: a column, a unit or a number is missing or does not fit.
    """
    if isinstance(data, str | Path):
        columns, units = dict(columns or {}), dict(units or {})
        written = Dialect(**dialect)
        if set(columns) & OF_ON_OFF:
            return read_on_off(data, columns, units, read_voltage, written)
        if set(columns) & {"voltage", "curve"} or not set(columns) & OF_PULSES:
            return _curves(read_table(data, columns, units, _CURVES, written), columns)
        return _pulses(read_table(data, columns, units, _PULSES, written), columns, read_voltage)
    if columns or units:
        raise ConfigError(
            f"columns and units describe a file, but data is {data!r}; leave them out"
        )
    single = isinstance(data, PulseData | IVCurve | OnOffData)
    records: Any = [data] if single else data
    for kind in (PulseData, IVCurve, OnOffData):
        if isinstance(records, Sequence) and records and all(isinstance(x, kind) for x in records):
            return list(records)
    raise ConfigError(
        f"data is {type(data).__name__}; expected the path of a text file, a fitting.PulseData or "
        "a fitting.OnOffData for each device, or a fitting.IVCurve for each state"
    )


def _pulses(
    table: Table, columns: Mapping[str, Any], read_voltage: float | None
) -> list[PulseData]:
    return [
        PulseData.from_table(part, columns, label, read_voltage)
        for label, part in _parts(table, "device")
    ]


def _curves(table: Table, columns: Mapping[str, Any]) -> list[IVCurve]:
    missing = [name for name in _CURVES if name not in table.values]
    if missing:
        raise ConfigError(
            f"columns has {', '.join(columns)}; expected voltage, current and curve, which tells "
            "the states apart"
        )
    curves = []
    for label, part in _parts(table, "curve"):
        known = part.values["voltage"].isfinite() & part.values["current"].isfinite()
        dropped = int((~known).sum())
        note = f"{dropped} samples that an instrument marks were left out"
        curves.append(
            IVCurve(
                voltage=part.values["voltage"][known],
                current=part.values["current"][known],
                source=part.source,
                label=label,
                remarks=(*part.notes, *((note,) if dropped else ())),
            )
        )
    return curves


def _parts(table: Table, name: str) -> list[tuple[str, Table]]:
    """The rows of each label, in the order of their first rows, with their names in messages."""
    if name not in table.values:
        return [("", table)]
    return [
        (f"{name} {label!r} (from line {line} on)", table.where(table.values[name] == k))
        for k, (label, line) in enumerate(table.labels[name].items())
    ]
