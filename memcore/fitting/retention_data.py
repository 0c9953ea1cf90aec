"""Measured retention: the conductance of cells as time passes after they were written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from memcore._keywords import hinted
from memcore.errors import ConfigError
from memcore.fitting.dialect import Dialect
from memcore.fitting.measurements import require_siemens, settle
from memcore.fitting.reads import conductance_of_reads
from memcore.fitting.table import Table, read_table
from memcore.fitting.units import Quantity

_COLUMNS: Final[Mapping[str, Quantity]] = {
    **{name: Quantity(name) for name in ("time", "conductance", "resistance", "current")},
    "device": Quantity("label"),
    "level": Quantity("label"),
}
_LABELS: Final = ("device", "level")


@dataclass(frozen=True, kw_only=True, eq=False)
class RetentionData:
    """Reads of one cell after one write, as numbers or tensors of one length [reads].

    Args:
        time: times since the write in s, in any order, at least 0.
        conductance: conductances in S, above 0.
        source: origin of the numbers, for the provenance.
        label: name of the cell in messages.
        remarks: remarks for the user.
    """

    time: Any
    conductance: Any
    source: Mapping[str, object] = field(default_factory=dict, repr=False)
    label: str = ""
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        settle(self, ("time", "conductance"), least=3, label=self.label)
        where = f"{self.label}: " if self.label else ""
        if not bool((self.time >= 0).all()):
            raise ConfigError(
                f"{where}time has values < 0, such as {float(self.time.min())!r}; expected seconds "
                "since the write"
            )
        if not bool((self.conductance > 0).all()):
            raise ConfigError(
                f"{where}conductance has values <= 0, such as {float(self.conductance.min())!r}; "
                "expected siemens > 0: leave out reads below the noise of the instrument, or "
                "subtract its offset; where the current is negative, so is the read voltage"
            )
        require_siemens(f"{where}conductance", self.conductance)
        if float(self.time.max()) == float(self.time.min()):
            raise ConfigError(f"{where}all reads are of one time; expected several times")
        order = self.time.argsort(stable=True)
        for name in ("time", "conductance"):
            object.__setattr__(self, name, getattr(self, name)[order])

    @classmethod
    @hinted
    def from_csv(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str | int],
        units: Mapping[str, str],
        read_voltage: float | None = None,
        **dialect: Any,
    ) -> "list[RetentionData]":
        """Read a text file with a row for each read, of one cell or of several.

        Args:
            path: path of the file.
            columns: headings of the columns, or their numbers from 1: "time", one of
                "conductance", "resistance" and "current", and perhaps "device" and "level", whose
                labels tell the cells and what was written to them apart.
            units: units of the columns but "device" and "level".
            read_voltage: voltage of the reads in V, where currents were read.
            dialect: how the file is written, by the names in `fitting.Dialect`.

        Raises:
            ConfigError: a column, a unit or a number is missing or does not fit.
        """
        table = read_table(path, columns, units, _COLUMNS, Dialect(**dialect))
        given = [name for name in ("conductance", "resistance", "current") if name in table.values]
        if "time" not in table.values or len(given) != 1:
            raise ConfigError(
                f"columns has {', '.join(columns)}; expected time, and one of conductance, "
                "resistance and current"
            )
        values = conductance_of_reads(table, given[0], given[0], read_voltage)
        return [_of(table, values, label, rows) for label, rows in _parts(table)]


def _of(table: Table, values: Tensor, label: str, rows: Tensor) -> RetentionData:
    time, conductance = table.values["time"][rows], values[rows]
    known = time.isfinite() & conductance.isfinite()
    dropped = int((~known).sum())
    where = f"{label}: " if label else ""
    note = f"{where}{dropped} reads that an instrument marks were left out"
    return RetentionData(
        time=time[known],
        conductance=conductance[known],
        source=table.source,
        label=label,
        remarks=(note,) if dropped else (),
    )


def _parts(table: Table) -> Iterator[tuple[str, Tensor]]:
    """Name and rows of each cell, by the order of their first rows."""
    named = [name for name in _LABELS if name in table.values]
    if not named:
        yield "", torch.ones(len(table.values["time"]), dtype=torch.bool, device="cpu")
        return
    keys = torch.stack([table.values[name] for name in named], 1)
    labels = {name: list(table.labels[name]) for name in named}
    for key in dict.fromkeys(map(tuple, keys.tolist())):
        said = (f"{n} {labels[n][int(k)]!r}" for n, k in zip(named, key, strict=True))
        yield ", ".join(said), (keys == keys.new_tensor(key)).all(1)


def load_retention(
    data: RetentionData | Sequence[RetentionData] | str | Path,
    columns: Mapping[str, Any] | None,
    units: Mapping[str, str] | None,
    *,
    read_voltage: float | None = None,
    **dialect: Any,
) -> list[RetentionData]:
    """Take records as they are, or read them from a file.

    Raises:
        ConfigError: they are something else, or a column, a unit or a number does not fit.
    """
    if isinstance(data, str | Path):
        return RetentionData.from_csv(
            data, columns=columns or {}, units=units or {}, read_voltage=read_voltage, **dialect
        )
    records = [data] if isinstance(data, RetentionData) else data
    fits = isinstance(records, Sequence) and bool(records)
    if not fits or not all(isinstance(each, RetentionData) for each in records):
        raise ConfigError(
            f"data is {type(data).__name__}; expected the path of a text file, or a "
            "fitting.RetentionData for each cell"
        )
    if columns or units:
        raise ConfigError("columns and units describe a file, but data is none; leave them out")
    return list(records)
