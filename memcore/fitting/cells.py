"""What a cell of a measured table says: a number, a direction, or a mark that it is neither."""

import math
import re
from collections.abc import Mapping
from typing import Final

from memcore.errors import ConfigError
from memcore.fitting.dialect import Dialect, plain
from memcore.fitting.units import Quantity

#: Words of a direction, and the sign that they stand for.
DIRECTIONS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("up", "set", "ltp", "potentiation", "pot", "p", "program", "+"), 1.0),
    **dict.fromkeys(("down", "reset", "ltd", "depression", "dep", "d", "erase", "-"), -1.0),
}
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?\Z", re.ASCII)
#: Words by which instruments and spreadsheets say that there is no measurement.
_MARKS: Final = re.compile(
    r"[+-]?(nan|inf|infinity|ovf|ovfl|ovld|ovrflw|overflow|overrange|overload|over|ol|o\.l|open|"
    r"n/a|na|null|none|invalid|error|err|compliance|-+|#[a-z/0!?]+|1\.#[a-z]+)\Z",
    re.IGNORECASE,
)
_CLOCK: Final = re.compile(r"\d:\d\d|\d{4}-\d\d-\d\d|\d[./]\d\d?[./]\d")
_THOUSANDS: Final = re.compile(
    r"[+-]?\d{1,3}(([ '_]\d{3})+([.,]\d*)?|(,\d{3})+\.\d*|(\.\d{3})+,\d*)\Z", re.ASCII
)
#: A number after or before letters: 1.2u, +1.0E-09NADC, NAI+1.0E-09.
_WITH_UNIT: Final = re.compile(
    r"(\D*[a-z]\s*)?[+-]?\d+([.,]\d*)?(e[+-]?\d+)?(\s*[a-z\u00b5\u03bc%].*)?\Z", re.IGNORECASE
)
#: Larger numbers are marks: 9.9e37 and 9.91e37 (SCPI), 199.999E+99 and the like.
_LARGEST: Final = 1e30
#: Magnitudes in SI units beyond which no cell was measured.
_MOST: Final[Mapping[str, float]] = {
    "time": 1e12,
    "voltage": 1e7,
    "current": 1e5,
    "conductance": 1e6,
    "resistance": 1e21,
    "number": 1e15,
}
_REMEDY: Final = (
    "correct it, leave the samples out by marks='drop', or name such cells by missing=[...]"
)


def number(
    cell: str, name: str, quantity: Quantity, factor: float, dialect: Dialect, at: str
) -> float:
    """The number of a cell in SI units; NaN where its sample is to be dropped.

    Args:
        cell: text of the cell.
        name: name of the quantity, for messages.
        quantity: quantity of the column.
        factor: unit of the column in SI units.
        dialect: how the file writes numbers.
        at: file and line, for messages.

    Raises:
        ConfigError: the cell holds no number, or none that was measured.
    """
    text = plain(cell)
    if text in map(plain, dialect.missing):
        return math.nan
    value = value_of(text, dialect)
    if value is None:
        if _MARKS.match(text) and dialect.marks == "drop":
            return math.nan
        raise ConfigError(f"{at}: {name} is {cell!r}; expected a number{_hint(text, dialect)}")
    si = value * factor
    most = max(_MOST.get(d, _LARGEST) for d in (quantity.dimension, *quantity.others))
    if abs(value) < _LARGEST and abs(si) <= most:
        return si
    if dialect.marks == "drop":
        return math.nan
    raise ConfigError(
        f"{at}: {name} is {cell!r}, which an instrument writes where it has no measurement "
        f"(overflow, compliance); expected a measured value: {_REMEDY}"
    )


def value_of(text: str, dialect: Dialect) -> float | None:
    """The number that a text writes in a dialect; None if it is no number."""
    text = text.replace("\u2212", "-")
    if dialect.decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".")
    if not _NUMBER.match(text):
        return None
    return float(text.replace("d", "e").replace("D", "E"))


def is_readable(cell: str, quantity: Quantity, dialect: Dialect) -> bool:
    """Whether a cell may stand in a row of data."""
    text = plain(cell)
    if quantity.dimension == "label":
        return bool(text)
    if not quantity.dimension and text.casefold() in DIRECTIONS:
        return True
    known = value_of(text, dialect) is not None or bool(_MARKS.match(text))
    return known or text in map(plain, dialect.missing)


def direction(cell: str, name: str, dialect: Dialect, at: str) -> tuple[float, float | None]:
    """The sign of a direction, and the amplitude if a number tells it.

    Raises:
        ConfigError: the cell holds neither a word nor a number with a sign.
    """
    text = plain(cell)
    sign = DIRECTIONS.get(text.casefold())
    if sign is not None:
        return sign, None
    value = value_of(text, dialect)
    if value:
        return math.copysign(1.0, value), value
    words = ", ".join(DIRECTIONS)
    said = "; 0 has no sign" if value == 0 else ""
    raise ConfigError(
        f"{at}: {name} is {cell!r}{said}; expected one of {words}, or the signed amplitude of the "
        "pulse, above 0 for SET"
    )


def _hint(text: str, dialect: Dialect) -> str:
    """What to do about a cell that is no number."""
    if _MARKS.match(text):
        return f": instruments write this where they have none; {_REMEDY}"
    if not text:
        return ": fill it in, or leave such samples out by missing=['']"
    if _CLOCK.search(text):
        return (
            ", not a time of day or a date: give a column of seconds, or dt=seconds between "
            "two samples in place of the times"
        )
    if _THOUSANDS.match(text):
        return " without separators of thousands: save the file without them"
    if "," in text and dialect.decimal == ".":
        return " (with a decimal point, or declare decimal=',')"
    if "." in text and dialect.decimal == ",":
        return " with the decimal comma that decimal=',' declares"
    if _WITH_UNIT.match(text):
        return " without letters beside it: save numbers alone, all in the unit that units declares"
    return f": take the line out if it is no sample, correct it, or name it in missing=[{text!r}]"
