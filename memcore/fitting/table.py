"""Measured columns from a CSV file, each with the meaning and the unit that the caller declares."""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from memcore.errors import ConfigError
from memcore.fitting.units import Quantity, factor, is_relative

#: Words of a direction, and the sign that they stand for.
DIRECTIONS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("up", "set", "ltp", "potentiation", "1", "+1", "1.0"), 1.0),
    **dict.fromkeys(("down", "reset", "ltd", "depression", "-1", "-1.0"), -1.0),
}


@dataclass(frozen=True, eq=False)
class Table:
    """Columns in SI units, and their origin.

    Attributes:
        values: values of each quantity, float64 [rows]; a direction is 1 or -1, a label is the
            number of labels that came before it.
        relative: the quantities that were given as a percentage or a pure number.
        source: name of the file, its SHA-256, columns and units.
        labels: labels of a quantity, each with the line on which it stood first.
    """

    values: Mapping[str, Tensor]
    relative: frozenset[str]
    source: Mapping[str, object]
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def where(self, chosen: Tensor) -> "Table":
        """The rows that a mask [rows] selects."""
        return replace(self, values={name: v[chosen] for name, v in self.values.items()})


def read_table(
    path: str | Path,
    columns: Mapping[str, str] | None,
    units: Mapping[str, str] | None,
    quantities: Mapping[str, Quantity],
    delimiter: str = ",",
) -> Table:
    """Read the columns of a CSV file whose header is its first line that names all of them.

    Args:
        path: path of the file; lines before the header are skipped.
        columns: heading of the column of each quantity.
        units: unit of the column of each quantity.
        quantities: quantities that the columns may hold.
        delimiter: separator of the columns.

    Raises:
        ConfigError: a column, a unit or a number is missing or does not fit.
    """
    columns, units = dict(columns or {}), dict(units or {})
    _check_names(columns, units, quantities)
    _check_delimiter(delimiter)
    factors = {name: _factor(name, columns, units, quantities[name]) for name in columns}
    content = _content(Path(path))
    rows = list(csv.reader(_text(content).splitlines(), delimiter=delimiter))
    header, places = _header(rows, columns, path, delimiter)
    labels: dict[str, dict[str, int]] = {
        name: {} for name in columns if quantities[name].dimension == "label"
    }
    cells: dict[str, list[float]] = {name: [] for name in columns}
    for number, row in _below(rows, header):
        where = f"{path}, line {number}"
        _require_as_wide(row, rows[header], where, delimiter)
        for name, place in places.items():
            cell = row[place].strip() if place < len(row) else ""
            if name in labels:
                cells[name].append(_counted(cell, name, labels[name], where, number))
            else:
                cells[name].append(_number(cell, name, quantities[name], where))
    if not cells[next(iter(columns))]:
        raise ConfigError(
            f"'{path}' has no rows below its header in line {header + 1}; expected data there"
        )
    return Table(
        {name: torch.tensor(v, dtype=torch.float64) * factors[name] for name, v in cells.items()},
        frozenset(name for name, unit in units.items() if is_relative(unit)),
        {
            "file": Path(path).name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "columns": columns,
            "units": units,
        },
        labels,
    )


def _below(rows: Sequence[list[str]], header: int) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header with their lines in the file, less blank ones and comments."""
    for number, row in enumerate(rows[header + 1 :], start=header + 2):
        if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#"):
            yield number, row


def _check_names(
    columns: Mapping[str, str], units: Mapping[str, str], quantities: Mapping[str, Quantity]
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


def _check_delimiter(delimiter: object) -> None:
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ConfigError(
            f"delimiter={delimiter!r}; expected one character, such as ',' or ';' or '\\t': blanks "
            "beside it do not count"
        )


def _factor(
    name: str, columns: Mapping[str, str], units: Mapping[str, str], quantity: Quantity
) -> float:
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


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:  # instruments write the micro sign in Latin-1
        return content.decode("latin-1")


def _header(
    rows: Sequence[Sequence[str]], columns: Mapping[str, str], path: str | Path, delimiter: str
) -> tuple[int, dict[str, int]]:
    wanted = set(columns.values())
    best: list[str] = []
    for number, row in enumerate(rows):
        cells = [cell.strip() for cell in row]
        if wanted <= set(cells):
            _require_single(cells, wanted, path)
            return number, {name: cells.index(heading) for name, heading in columns.items()}
        if not best or len(wanted & set(cells)) > len(wanted & set(best)):
            best = cells
    missing = ", ".join(repr(c) for c in columns.values() if c not in best)
    there = ", ".join(map(repr, best)) or "nothing"
    raise ConfigError(
        f"no line of '{path}' has the column {missing}; there is: {there} (columns are separated "
        f"by {delimiter!r})"
    )


def _require_single(cells: Sequence[str], wanted: Iterable[str], path: str | Path) -> None:
    for heading in wanted:
        if cells.count(heading) > 1:
            raise ConfigError(
                f"'{path}' has {cells.count(heading)} columns {heading!r}; expected one: rename "
                "the others"
            )


def _require_as_wide(row: list[str], header: list[str], where: str, delimiter: str) -> None:
    """Refuse cells without a heading: those before them may have been shifted, too."""
    if _width(row) <= _width(header):
        return
    decimal = ", perhaps decimal commas" if delimiter == "," else ""
    raise ConfigError(
        f"{where} has {_width(row)} cells, the header {_width(header)}; expected a heading for "
        f"every cell: {delimiter!r} may stand within a cell{decimal}, or a heading be missing"
    )


def _width(row: list[str]) -> int:
    """The number of cells without blank ones at the end."""
    return max((k for k, cell in enumerate(row, start=1) if cell.strip()), default=0)


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


def _number(cell: str, name: str, quantity: Quantity, where: str) -> float:
    if not quantity.dimension:
        if cell.lower() not in DIRECTIONS:
            raise ConfigError(
                f"{where}: {name} is {cell!r}; expected one of {', '.join(DIRECTIONS)}"
            )
        return DIRECTIONS[cell.lower()]
    try:
        return float(cell)
    except ValueError:
        hint = " (with a decimal point)" if "," in cell else ""
        raise ConfigError(f"{where}: {name} is {cell!r}; expected a number{hint}") from None
