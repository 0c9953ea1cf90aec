"""Units of measured columns: a table of prefixes and base units, declared and never guessed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from memcore.errors import ConfigError

PREFIXES: Final[Mapping[str, float]] = {
    **{"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "\u00b5": 1e-6, "\u03bc": 1e-6, "m": 1e-3},
    **{"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9},
}
#: Every spelling of a base unit, and its dimension.
BASES: Final[Mapping[str, str]] = {
    **{"s": "time", "V": "voltage", "A": "current", "S": "conductance"},
    **dict.fromkeys(("Ohm", "ohm", "\u03a9", "\u2126"), "resistance"),
}
#: Units written out, as in a line of units below the headings.
_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "time"),
    **dict.fromkeys(("volt", "volts"), "voltage"),
    **dict.fromkeys(("amp", "amps", "ampere", "amperes"), "current"),
    **dict.fromkeys(("siemens",), "conductance"),
    **dict.fromkeys(("ohms",), "resistance"),
}
_NUMBERS: Final[Mapping[str, float]] = {"1": 1.0, "%": 0.01, "percent": 0.01}
_EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("s", "ms", "us", "ns"),
    "voltage": ("V", "mV"),
    "current": ("A", "mA", "uA", "nA"),
    "conductance": ("S", "mS", "uS", "nS"),
    "resistance": ("Ohm", "kOhm", "MOhm"),
    "number": ("1", "%"),
}


@dataclass(frozen=True)
class Quantity:
    """A quantity that a column can hold.

    Args:
        dimension: dimension of the quantity: "time", "voltage", "current", "conductance",
            "resistance" or "number"; empty for a column of directions and "label" for one of names,
            which have no unit.
        relative: whether a percentage or a pure number fits too.
        others: further dimensions that fit.
        optional: whether a cell may be blank.
    """

    dimension: str
    relative: bool = False
    others: tuple[str, ...] = ()
    optional: bool = False

    @property
    def has_unit(self) -> bool:
        """Whether the quantity is a number with a unit."""
        return self.dimension not in ("", "label")

    @property
    def examples(self) -> str:
        """Examples of units that fit."""
        examples = _EXAMPLES[self.dimension] + (("%",) if self.relative else ())
        examples += tuple(_EXAMPLES[other][0] for other in self.others)
        return ", ".join(dict.fromkeys(examples))


def read(unit: str) -> tuple[str, float] | None:
    """The dimension of a unit and its size in SI units, None for an unknown unit."""
    unit = unit.strip()
    if unit in _NUMBERS:
        return "number", _NUMBERS[unit]
    if unit.casefold() in _WORDS:
        return _WORDS[unit.casefold()], 1.0
    for base, dimension in BASES.items():
        prefix = unit.removesuffix(base)
        if unit.endswith(base) and prefix in PREFIXES:
            return dimension, PREFIXES[prefix]
    return None


def factor(unit: str, name: str, quantity: Quantity) -> float:
    """The factor from `unit` to SI units.

    Raises:
        ConfigError: the unit is unknown or measures something else.
    """
    known = read(unit) if isinstance(unit, str) else None
    if known is None:
        raise ConfigError(
            f"unit {unit!r} of {name!r} is unknown; expected one such as {quantity.examples} "
            "(upper and lower case differ)"
        )
    dimension, size = known
    fits = dimension in (quantity.dimension, *quantity.others)
    if not fits and not (quantity.relative and dimension == "number"):
        raise ConfigError(
            f"unit {unit!r} of {name!r} is one of {dimension}; expected one of "
            f"{quantity.dimension}, such as {quantity.examples}"
        )
    return size


def is_relative(unit: str) -> bool:
    """Whether a unit is a percentage or a pure number."""
    return unit in _NUMBERS
