"""Where the data stand in a file: below which heading, in which record, in which columns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from memcore._text import did_you_mean
from memcore.errors import ConfigError
from memcore.fitting.cells import is_readable
from memcore.fitting.dialect import Dialect, plain
from memcore.fitting.units import Quantity, read

#: The heading of a column, or its number from 1.
Columns = Mapping[str, str | int]

#: A unit at the end of a heading: "V (mV)", "V [mV]", "V / mV".
_IN_HEADING: Final = re.compile(r"(?:\(([^()]*)\)|\[([^\[\]]*)\]|/\s*([^\s/]+))\s*\Z")
#: What begins a line that is no data.
_COMMENTS: Final = ("#", "%", "!", "//")
_PART: Final = 3  #: lines from which those between blank lines may be a record


class Located:
    """Finds the rows of the data in a file."""

    def __init__(
        self,
        path: str | Path,
        rows: list[list[str]],
        columns: Columns,
        units: Mapping[str, str],
        quantities: Mapping[str, Quantity],
        dialect: Dialect,
    ) -> None:
        self.path, self.rows = path, rows
        self.columns, self.units, self.quantities = columns, units, quantities
        self.dialect = dialect
        self.notes: list[str] = []

    def found(self) -> tuple[list[tuple[int, list[str]]], dict[str, int]]:
        """The rows of the data with their lines in the file, and the place of each column."""
        places = self._numbered()
        if places is not None:
            return self._without_header(places), places
        headers = [k for k in range(len(self.rows)) if self._names_all(k)]
        if not headers:
            raise ConfigError(self._no_header())
        first = self._plain(headers[0])
        at = [first.index(_compared(h)) for h in self.columns.values()]
        same = [first[place] for place in at]
        headers = [k for k in headers if self._cells(k, at) == same]
        header, end = self._record(headers)
        cells = self._plain(header)
        places = {}
        for name, heading in self.columns.items():
            wanted = _compared(heading)
            if cells.count(wanted) > 1:
                raise ConfigError(
                    f"'{self.path}' has {cells.count(wanted)} columns {heading!r}; expected one: "
                    "rename the others, or give the number of the column"
                )
            places[name] = cells.index(wanted)
            self._check_unit(name, wanted, f"the heading {heading!r}")
        rows = list(self._below(header, end))
        if rows and self._says_units(rows[0], places):
            rows = rows[1:]
        rows = self._without_foot(rows, places)
        for line, row in rows:
            self._require_as_wide(row, self.rows[header], line)
        if not rows:
            raise ConfigError(
                f"'{self.path}' has no rows below its header in line {header + 1}; expected data "
                "there"
            )
        return rows, places

    # -- columns by number -------------------------------------------------------------------------

    def _numbered(self) -> dict[str, int] | None:
        """The places of columns that are given by their numbers; None where headings are."""
        given = list(self.columns.values())
        whole = [isinstance(g, int) and not isinstance(g, bool) for g in given]
        digits = [isinstance(g, str) and g.strip().isdecimal() for g in given]
        first = next((k for k, row in enumerate(self.rows) if any(c.strip() for c in row)), 0)
        if self.rows and not any(whole) and self._names_all(first):
            return None  # headings that are numbers; further down they would be data
        if not all(w or d for w, d in zip(whole, digits, strict=True)):
            if any(whole):
                raise ConfigError(
                    f"columns has {given}; expected headings of all columns, or numbers of all"
                )
            return None
        places = {name: int(column) - 1 for name, column in self.columns.items()}
        if min(places.values()) < 0:
            raise ConfigError(f"columns has {given}; expected numbers from 1, the first column")
        return places

    def _without_header(self, places: Mapping[str, int]) -> list[tuple[int, list[str]]]:
        rows = list(self._below(-1, len(self.rows)))
        begin = next((k for k, (_, row) in enumerate(rows) if self._readable(row, places)), None)
        if begin is None:
            widest = max((len(row) for _, row in rows), default=0)
            raise ConfigError(
                f"no line of '{self.path}' has numbers in the columns "
                f"{', '.join(str(p + 1) for p in places.values())}; its lines have up to {widest} "
                f"cells separated by {self.dialect.delimiter!r}; expected numbers of such columns"
            )
        return self._part(self._without_foot(rows[begin:], places))

    def _part(self, rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
        """The record that is meant among those that blank lines divide, or all rows."""
        ends = [k for k in range(1, len(rows)) if self._blank_before(rows[k][0])]
        parts = [rows[i:j] for i, j in pairwise([0, *ends, len(rows)])]
        if min(map(len, parts)) < _PART:
            parts = [rows]
        record, count = self.dialect.record, len(parts)
        if record is not None:
            self._require_record(record, count)
            return parts[record - 1]
        if count > 1:
            self.notes.append(
                f"blank lines divide the data into {count} parts, the second from line "
                f"{parts[1][0][0]} on, which were read as one: record=1 to {count} reads one alone"
            )
        return rows

    def _blank_before(self, line: int) -> bool:
        return not any(cell.strip() for cell in self.rows[line - 2])

    def _without_foot(
        self, rows: list[tuple[int, list[str]]], places: Mapping[str, int]
    ) -> list[tuple[int, list[str]]]:
        """The rows without those at the end that have no number in any of the columns."""
        end = len(rows)
        while end > 1 and not any(
            self._readable(rows[end - 1][1], {n: p}) for n, p in places.items()
        ):
            end -= 1
        text = [line for line, row in rows[end:] if any(self._filled(row, places))]
        if text:
            self.notes.append(
                f"from line {text[0]} on there is no number in the columns; the lines were left out"
            )
        return rows[:end]

    @staticmethod
    def _filled(row: Sequence[str], places: Mapping[str, int]) -> list[bool]:
        return [bool(row[p].strip()) for p in places.values() if p < len(row)]

    # -- headers and records -----------------------------------------------------------------------

    def _plain(self, k: int) -> list[str]:
        return [_compared(cell) for cell in self.rows[k]]

    def _cells(self, k: int, places: Sequence[int]) -> list[str]:
        cells = self._plain(k)
        return [cells[place] if place < len(cells) else "" for place in places]

    def _names_all(self, k: int) -> bool:
        wanted = {_compared(heading) for heading in self.columns.values()}
        return wanted <= set(self._plain(k))

    def _record(self, headers: Sequence[int]) -> tuple[int, int]:
        """The header of the record that is meant, and the line after its end."""
        record, count = self.dialect.record, len(headers)
        self._require_record(record or 1, count)
        if record is None and count > 1:
            raise ConfigError(
                f"'{self.path}' holds {count} records, the second with its heading in line "
                f"{headers[1] + 1}; expected one: record=1 to {count} chooses"
            )
        chosen = (record or 1) - 1
        begin = headers[chosen]
        if chosen + 1 == count:
            return begin, len(self.rows)
        # Between two records stand a blank line or the head of the next one.
        end = headers[chosen + 1]
        blank = next(
            (k for k in range(begin + 2, end) if not any(c.strip() for c in self.rows[k])), end
        )
        return begin, blank if blank < end else self._end(begin, end)

    def _require_record(self, record: int, count: int) -> None:
        if record > count:
            raise ConfigError(
                f"record={record}, but '{self.path}' holds {count}; expected one from 1 to {count}"
            )

    def _end(self, begin: int, end: int) -> int:
        """The line after the last one before a header that may hold data."""
        cells = self._plain(begin)
        places = {name: cells.index(_compared(h)) for name, h in self.columns.items()}
        while end > begin + 1 and not self._readable(self.rows[end - 1], places):
            end -= 1
        return end

    def _readable(self, row: Sequence[str], places: Mapping[str, int]) -> bool:
        return all(
            is_readable(row[p] if p < len(row) else "", self.quantities[name], self.dialect)
            or (self.quantities[name].optional and not (row[p].strip() if p < len(row) else ""))
            for name, p in places.items()
        )

    def _below(self, header: int, end: int) -> Iterator[tuple[int, list[str]]]:
        """The rows below a header with their lines, less blank ones and comments."""
        for k in range(header + 1, end):
            row = self.rows[k]
            if any(cell.strip() for cell in row) and not row[0].lstrip().startswith(_COMMENTS):
                yield k + 1, row

    def _no_header(self) -> str:
        wanted = {_compared(heading) for heading in self.columns.values()}
        best: list[str] = []
        for k in range(len(self.rows)):
            cells = self._plain(k)
            if not best or len(wanted & set(cells)) > len(wanted & set(best)):
                best = cells
        missing = ", ".join(repr(c) for c in self.columns.values() if _compared(c) not in best)
        there = ", ".join(map(repr, best)) or "nothing"
        meant = did_you_mean(sorted(wanted - set(best))[0], best)
        return (
            f"no line of '{self.path}' has the column {missing}; there is: {there} (columns are "
            f"separated by {self.dialect.delimiter!r}){self._otherwise(wanted)}{meant}"
        )

    def _otherwise(self, wanted: set[str]) -> str:
        """What would help where another delimiter shows all columns."""
        lines = [self.dialect.delimiter.join(row) for row in self.rows]
        for sign in (",", ";", "\t", "|"):
            if sign == self.dialect.delimiter:
                continue
            for line in lines:
                if wanted <= {_compared(cell.strip('"')) for cell in line.split(sign)}:
                    return f"; expected delimiter={sign!r}, by which they are"
        if not any(any(cell.strip() for cell in row) for row in self.rows):
            return "; expected a file that is not empty"
        return "; expected headings as in the file, or the numbers of the columns"

    # -- units -------------------------------------------------------------------------------------

    def _says_units(self, first: tuple[int, list[str]], places: Mapping[str, int]) -> bool:
        """Whether the first line below a header holds units, which are then looked at."""
        line, row = first
        said = {n: _bare(row[p]) for n, p in places.items() if p < len(row) and row[p].strip()}
        numeric = {n: u for n, u in said.items() if self.quantities[n].has_unit}
        if not numeric or any(read(unit) is None or unit == "1" for unit in numeric.values()):
            return False
        for name, unit in numeric.items():
            self._compare(name, unit, f"line {line}")
        return True

    def _check_unit(self, name: str, heading: str, where: str) -> None:
        found = _IN_HEADING.search(heading)
        if found is not None:
            self._compare(name, next(filter(None, found.groups()), "").strip(), where)

    def _compare(self, name: str, said: str, where: str) -> None:
        declared, known = read(self.units.get(name, "1")), read(said)
        if known is None or declared is None or known == declared or known[0] == "number":
            return
        if not self.quantities[name].has_unit or name not in self.units:
            return
        self.notes.append(
            f"{where} says that the unit of {name} is {said}, but {self.units[name]} is declared, "
            "which counts: look at units"
        )

    def _require_as_wide(self, row: list[str], header: list[str], line: int) -> None:
        """Refuse cells without a heading: those before them may have been shifted, too."""
        if _width(row) <= _width(header):
            return
        sign = self.dialect.delimiter
        decimal = ", perhaps decimal commas" if sign == "," else ""
        raise ConfigError(
            f"{self.path}, line {line} has {_width(row)} cells, the header {_width(header)}; "
            f"expected a heading for every cell: {sign!r} may stand within a cell{decimal}, or a "
            "heading be missing"
        )


def _compared(heading: str | int) -> str:
    """A heading as it is compared; without the mark of a comment, as numpy writes one."""
    text = plain(str(heading))
    return text.lstrip("#% ") or text


def _bare(cell: str) -> str:
    return plain(cell).strip("()[] ")


def _width(row: list[str]) -> int:
    """The number of cells without blank ones at the end."""
    return max((k for k, cell in enumerate(row, start=1) if cell.strip()), default=0)
