"""Tables that sort, filter and save themselves as CSV with the script of the page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memcore.pages.markup import Html, tag


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: word by which a filter names it.
        head: heading, with the unit.
        is_number: whether its cells are numbers.
    """

    key: str
    head: str
    is_number: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: text for reading.
        value: number that it is sorted by and that the CSV holds; None for words.
        note: smaller text behind it.
    """

    text: str
    value: float | None = None
    note: str = ""


def table(
    name: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]
) -> Html:
    """A table with a field to filter its rows and a button that saves them.

    Args:
        name: name of the file that its rows are saved in.
        caption: what its rows are.
        columns: the columns.
        rows: a cell for each column.
    """
    number = next((column.key for column in columns[::-1] if column.is_number), columns[0].key)
    field = tag(
        "input",
        type="search",
        class_="filter",
        placeholder=f"filter: words, or {number}>1",
        aria_label=f"Filter the rows of {caption}",
        spellcheck="false",
    )
    tools = tag(
        "div",
        field,
        tag("span", class_="count", aria_live="polite"),
        tag("button", "CSV", type="button", class_="save-csv", title="Save these rows as CSV"),
        class_="tools",
    )
    head = tag("tr", [_head(column) for column in columns])
    body = [tag("tr", [_cell(*pair) for pair in zip(columns, row, strict=True)]) for row in rows]
    whole = tag(
        "table",
        tag("caption", caption),
        tag("thead", head),
        tag("tbody", body),
        data_name=name,
    )
    scrolled = tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)
    return tag("div", tools, scrolled, class_="tabled")


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Html:
    """A table without tools, of texts."""
    head = tag("tr", [tag("th", column, scope="col") for column in columns])
    body = [tag("tr", [tag("td", cell) for cell in row]) for row in rows]
    whole = tag("table", tag("thead", head), tag("tbody", body), class_="plain")
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=columns[0])


def _head(column: Column) -> Html:
    # A dotted path may break after its dots, so that a narrow screen shows the column whole.
    parts = re.split(r"(?<=[._])(?=\w)", column.head)
    breaks = [part for word in parts for part in (tag("wbr"), word)][1:]
    button = tag("button", breaks, type="button")
    kind = "number" if column.is_number else None
    return tag("th", button, scope="col", class_=kind, data_key=column.key, aria_sort="none")


def _cell(column: Column, cell: Cell) -> Html:
    value = None if cell.value is None else repr(float(cell.value))
    note = tag("small", cell.note) if cell.note else None
    kind = "number" if column.is_number else None
    return tag("td", cell.text, note, class_=kind, data_v=value)
