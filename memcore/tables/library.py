"""`components`: the tables of components, read when they are first asked for."""

import csv
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from memcore._text import did_you_mean, hint, shown
from memcore.errors import ArgumentTypeError, ConfigError, UnknownComponentError
from memcore.tables.bibliography import entries
from memcore.tables.component import Component

_FOLDER: Final = Path(__file__).parent
_UNITS: Final = {
    "technology": "technology_m",
    "bits": "bits",
    "rate": "rate_hz",
    "energy": "energy_j",
    "area": "area_m2",
    "latency": "latency_s",
    "power": "power_w",
    "leakage": "leakage_w",
}
_WORDS: Final = {
    "name": "name",
    "kind": "kind",
    "condition": "condition",
    "source": "source_key",
    "location": "source_loc",
    "note": "note",
}
COLUMNS: Final = (*_WORDS.values(), *_UNITS.values(), "measured")


class Components(Mapping[str, Component]):
    """Components by name, from one or several CSV files of which a later one replaces rows.

    Args:
        files: CSV files with the columns of the bundled table; `name`, `kind` and `source_key` are
            needed in each row.
    """

    def __init__(self, *files: Path) -> None:
        self._files = files

    @cached_property
    def _rows(self) -> dict[str, Component]:
        rows: dict[str, Component] = {}
        for file in self._files:
            rows |= {row.name: row for row in _read(file)}
        return rows

    def __getitem__(self, name: str) -> Component:
        found = self._rows.get(name) if isinstance(name, str) else None
        if found is None:
            close = did_you_mean(str(name), self._rows)
            raise UnknownComponentError(
                f"there is no component {shown(name)}; expected one that 'memcore components' "
                f"lists, or a row of your own in a CSV file{close}"
            )
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<{len(self)} components; memcore.components.search(text) finds them>"

    def extended(self, file: str | Path) -> "Components":
        """The same tables with the rows of a CSV file of your own added, or put in their place."""
        return Components(*self._files, Path(file))

    def find(self, which: "str | Component") -> Component:
        """A component by its name, by "mine.csv:name" for a table of your own, or as it is."""
        if isinstance(which, Component):
            return which
        if not isinstance(which, str):
            raise ArgumentTypeError(
                f"a component is {shown(which)}; expected its name, a text, or a memcore.Component"
            )
        file, colon, name = which.rpartition(":")
        return self.extended(file)[name] if colon else self[name]

    def search(self, text: str = "", *, kind: str = "") -> list[Component]:
        """The components of a kind, or of any, whose row has each word of a text."""
        if not isinstance(text, str) or not isinstance(kind, str):
            raise ArgumentTypeError(
                f"text={shown(text)}, kind={shown(kind)}; expected words to search for, as texts"
            )
        words = text.lower().split()
        return [
            each
            for each in self._rows.values()
            if (not kind or each.kind == kind) and all(word in _searched(each) for word in words)
        ]

    def cite(self, name: str) -> str:
        """The entry of the bibliography for a component, or for the key of a source, as BibTeX.

        Raises:
            UnknownComponentError: there is no such component or source.
            ConfigError: the source of the component is in no bibliography beside the tables.
        """
        known: dict[str, str] = {}
        for file in self._files:
            known |= entries(file.parent)
        if name in known and name not in self:
            return known[name]
        key = self[name].source
        if key not in known:
            raise ConfigError(
                f"source {key!r} of component {name!r} is in no bibliography; expected an entry in "
                f"a .bib file beside its table{hint(key, sorted(known))}"
            )
        return known[key]


def _searched(component: Component) -> str:
    words = (component.name, component.kind, component.condition, component.source)
    return " ".join((*words, component.location, component.note)).lower()


def _read(file: Path) -> Iterator[Component]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the table '{file}' cannot be read: {error}") from None
    reader = csv.DictReader(text.splitlines())
    for column in reader.fieldnames or ():
        if column not in COLUMNS:
            raise ConfigError(f"'{file}' has a column {column!r}{hint(column, COLUMNS)}")
    for row in reader:
        yield _component(row, f"'{file}', line {reader.line_num}")


def _component(row: Mapping[str, str | None], where: str) -> Component:
    for needed in ("name", "kind", "source_key"):
        if not row.get(needed):
            raise ConfigError(
                f"{where} has no {needed}; expected one: a figure without a source is worth little"
            )
    values: dict[str, Any] = {key: row.get(column) or "" for key, column in _WORDS.items()}
    for key, column in _UNITS.items():
        text = row.get(column) or ""
        values[key] = _number(text, f"{where}: {column}") if text else None
    if values["bits"] is not None:
        values["bits"] = int(values["bits"])
    return Component(**values, measured=row.get("measured") == "yes")


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{what}={text!r}; expected a number >= 0 in SI units, or nothing")
    return value


#: The bundled tables.
components: Final = Components(_FOLDER / "components.csv")
