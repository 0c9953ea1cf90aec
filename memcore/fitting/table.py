"""Measured columns of a text file, each with the meaning and the unit that are declared."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memcore.errors import ConfigError
from memcore.fitting.cells import direction, number
from memcore.fitting.dialect import Dialect
from memcore.fitting.locate import Columns, Located
from memcore.fitting.units import Quantity, factor, is_relative


@dataclass(frozen=True, eq=False)
class Table:
    """Columns in SI units, and their origin.

    Attributes:
        values: values of each quantity, float64 [rows], NaN where a sample is dropped; a direction
            is 1 or -1, a label is the number of labels that came before it.
        relative: the quantities that were given as a percentage or a pure number.
        source: name of the file, its SHA-256, columns, units and dialect.
        labels: labels of a quantity, each with the line on which it stood first.
        amplitudes: numbers that told a direction, [rows]; NaN where a word did.
        blank: which cells of a quantity that may be blank are, truth values [rows].
        notes: remarks for the user.
    """

    values: Mapping[str, Tensor]
    relative: frozenset[str]
    source: Mapping[str, object]
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    amplitudes: Tensor | None = None
    blank: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def where(self, chosen: Tensor) -> "Table":
        """The rows that a mask [rows] selects."""
        amplitudes = None if self.amplitudes is None else self.amplitudes[chosen]
        values = {name: v[chosen] for name, v in self.values.items()}
        blank = {name: v[chosen] for name, v in self.blank.items()}
        return replace(self, values=values, amplitudes=amplitudes, blank=blank)


def read_table(
    path: str | Path,
    columns: Columns | None,
    units: Mapping[str, str] | None,
    quantities: Mapping[str, Quantity],
    dialect: Dialect | None = None,
) -> Table:
    """Read the columns of a text file.

    The header is the first line that names all columns; lines before it are skipped, and so is a
    line of units below it, which must be the declared ones. Columns that are given by their number
    need no header: the data begin with the first line in which all of them can be read.

    Args:
        path: path of the file.
        columns: heading of the column of each quantity, or its number from 1. Headings are
            compared without outer blanks, and look-alike characters count as one.
        units: unit of the column of each quantity.
        quantities: quantities that the columns may hold.
        dialect: how the file is written; None for commas and decimal points.

    Raises:
        ConfigError: a column, a unit or a number is missing or does not fit.
    """
    dialect = dialect or Dialect()
    columns, units = dict(columns or {}), dict(units or {})
    _check_names(columns, units, quantities)
    factors = {name: _factor(name, columns, units, quantities[name]) for name in columns}
    content = _content(Path(path))
    reader = Located(path, dialect.rows(content, path), columns, units, quantities, dialect)
    rows, places = reader.found()
    return _collected(reader, rows, places, factors, content)


def _collected(
    reader: "Located",
    rows: Sequence[tuple[int, list[str]]],
    places: Mapping[str, int],
    factors: Mapping[str, float],
    content: bytes,
) -> Table:
    """The numbers of the rows."""
    quantities, dialect = reader.quantities, reader.dialect
    labels: dict[str, dict[str, int]] = {
        name: {} for name in places if quantities[name].dimension == "label"
    }
    cells: dict[str, list[float]] = {name: [] for name in places}
    amplitudes: list[float] = []
    blank: dict[str, list[bool]] = {name: [] for name in places if quantities[name].optional}
    for line, row in rows:
        at = f"{reader.path}, line {line}"
        for name, place in places.items():
            cell = row[place].strip() if place < len(row) else ""
            if name in blank:
                blank[name].append(not cell)
            if name in labels:
                cells[name].append(_counted(cell, name, labels[name], at, line))
            elif not quantities[name].dimension:
                sign, amplitude = direction(cell, name, dialect, at)
                cells[name].append(sign)
                amplitudes.append(torch.nan if amplitude is None else amplitude)
            elif name in blank and not cell:
                cells[name].append(torch.nan)
            else:
                cells[name].append(number(cell, name, quantities[name], factors[name], dialect, at))
    return Table(
        {name: torch.tensor(v, dtype=torch.float64, device="cpu") for name, v in cells.items()},
        frozenset(name for name, unit in reader.units.items() if is_relative(unit)),
        _origin(reader, content),
        labels,
        torch.tensor(amplitudes, dtype=torch.float64, device="cpu") if amplitudes else None,
        {name: torch.tensor(v, device="cpu") for name, v in blank.items()},
        tuple(reader.notes),
    )


def _origin(reader: "Located", content: bytes) -> dict[str, Any]:
    """Where the numbers are from: the file, its columns, and what of its dialect was said."""
    said = {
        name: value
        for name in ("delimiter", "decimal", "encoding", "record", "marks", "missing", "transposed")
        if (value := getattr(reader.dialect, name)) != getattr(Dialect(), name)
    }
    return {
        "file": Path(reader.path).name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "columns": dict(reader.columns),
        "units": dict(reader.units),
        **({"dialect": said} if said else {}),
    }


def _check_names(
    columns: Columns, units: Mapping[str, str], quantities: Mapping[str, Quantity]
) -> None:
    known = ", ".join(quantities)
    if not columns:
        raise ConfigError(
            'columns is empty; expected columns={"voltage": "heading of its column", ...} with '
            f"some of {known}"
        )
    for mapping, name in (("columns", columns), ("units", units)):
        for key in name:
            if key not in quantities:
                raise ConfigError(f"{mapping} names {key!r}; expected some of {known}")
    for key in units:
        if key not in columns:
            raise ConfigError(f"units has {key!r}, but columns has not; expected both or none")


def _factor(name: str, columns: Columns, units: Mapping[str, str], quantity: Quantity) -> float:
    if not quantity.has_unit:
        return 1.0
    if name not in units:
        if quantity.dimension == "number":
            return 1.0
        example = quantity.examples.partition(",")[0]
        raise ConfigError(
            f"no unit is declared for {name!r}, column {columns[name]!r}; expected "
            f'units={{"{name}": "{example}", ...}}, one of {quantity.examples}'
        )
    return factor(units[name], name, quantity)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no data file '{path}'; the current folder is '{Path.cwd()}'"
        ) from None
    except OSError as error:
        raise ConfigError(f"data file '{path}' cannot be read: {error}") from None


def _counted(cell: str, name: str, known: dict[str, int], where: str, line: int) -> float:
    """The number of labels that came before this one, which is added to the known ones."""
    if not cell:
        raise ConfigError(
            f"{where}: {name} is blank; expected a label in every row: merged cells leave it in "
            "the first one only, fill it down"
        )
    for place, (other, first) in enumerate(known.items()):
        if cell == other:
            return place
        if cell.casefold() == other.casefold():
            raise ConfigError(
                f"{where}: {name} is {cell!r}, but {other!r} in line {first}; expected labels "
                "that differ by more than upper and lower case"
            )
    known[cell] = line
    return len(known) - 1
