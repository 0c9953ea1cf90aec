"""Measured conductances of cells in two states, on and off, write after write."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from memcore.errors import ConfigError
from memcore.fitting.dialect import Dialect
from memcore.fitting.measurements import require_siemens, settle
from memcore.fitting.reads import conductance_of_reads
from memcore.fitting.table import Table, read_table
from memcore.fitting.units import Quantity, read

_READ_AS: Final = ("conductance", "resistance", "current")
_EITHER: Final = Quantity("conductance", others=("resistance", "current"), optional=True)
_COLUMNS: Final[Mapping[str, Quantity]] = {
    "on": _EITHER,
    "off": _EITHER,
    "state": Quantity("label"),
    **{name: Quantity(name) for name in _READ_AS},
    "device": Quantity("label"),
}
#: Columns that tell that a file is of two states.
OF_ON_OFF: Final = frozenset(("on", "off", "state"))
_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("on", "lrs", "low", "set", "1"), "on"),
    **dict.fromkeys(("off", "hrs", "high", "reset", "0"), "off"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class OnOffData:
    """The conductance of one cell after writes of either state, as numbers or tensors.

    Args:
        on: conductances in S after writes of the state on, [writes].
        off: conductances in S after writes of the state off, whose number may differ, [writes].
        source: origin of the numbers, for the provenance.
        label: name of the cell in messages; empty if the rows are not told apart.
        remarks: remarks for the user.
    """

    on: Any
    off: Any
    source: Mapping[str, object] = field(default_factory=dict, repr=False)
    label: str = ""
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"{self.label}: " if self.label else ""
        for name in ("on", "off"):
            settle(self, (name,), least=1, label=self.label)
            values: Tensor = getattr(self, name)
            if not bool((values > 0).all()):
                raise ConfigError(
                    f"{where}{name} has values <= 0, such as {float(values.min())!r}; expected "
                    "siemens > 0: leave out reads below the noise of the instrument, or subtract "
                    "its offset; where the current is negative, so is the read voltage"
                )
            require_siemens(f"{where}{name}", values)


def read_on_off(
    path: str | Path,
    columns: Mapping[str, Any],
    units: Mapping[str, str],
    read_voltage: float | None,
    dialect: Dialect,
) -> list[OnOffData]:
    """The cells of a text file: those of each label, or one if there are no labels.

    Raises:
        ConfigError: a column, a unit or a number is missing or does not fit.
    """
    table = read_table(path, columns, units, _COLUMNS, dialect)
    on, off = _states(table, columns, units, read_voltage)
    if "device" not in table.values:
        return [_of(table, on, off, "", torch.ones(len(on), dtype=torch.bool, device="cpu"))]
    which = table.values["device"]
    return [
        _of(table, on, off, f"device {label!r} (from line {line} on)", which == k)
        for k, (label, line) in enumerate(table.labels["device"].items())
    ]


def _of(table: Table, on: Tensor, off: Tensor, label: str, rows: Tensor) -> OnOffData:
    chosen = [values[rows] for values in (on, off)]
    measured = [values[values.isfinite()] for values in chosen]
    for name, values in zip(("on", "off"), measured, strict=True):
        if not len(values):
            raise ConfigError(
                f"{label or 'the file'} has no conductance in the state {name}; expected reads of "
                "both states"
            )
    return OnOffData(on=measured[0], off=measured[1], source=table.source, label=label)


def _states(
    table: Table, columns: Mapping[str, Any], units: Mapping[str, str], read_voltage: float | None
) -> tuple[Tensor, Tensor]:
    """Conductances on and off in S of each row, NaN where there is none."""
    given = [name for name in _READ_AS if name in table.values]
    both = [name for name in ("on", "off") if name in table.values]
    if len(both) == 2 and not given and "state" not in table.values:
        made = []
        for name in both:
            dimension = (read(units[name]) or ("conductance", 1.0))[0]
            made.append(conductance_of_reads(table, name, dimension, read_voltage))
        return made[0], made[1]
    if both or len(given) != 1 or "state" not in table.values:
        raise ConfigError(
            f"columns has {', '.join(columns)}; expected on and off, or state and one of "
            "conductance, resistance and current, and perhaps device"
        )
    values = conductance_of_reads(table, given[0], given[0], read_voltage)
    state = torch.tensor(
        [_is_on(word, line) for word, line in table.labels["state"].items()], device="cpu"
    )
    is_on = state[table.values["state"].long()]
    none = torch.full_like(values, torch.nan)
    return values.where(is_on, none), values.where(~is_on, none)


def _is_on(word: str, line: int) -> bool:
    known = _WORDS.get(word.casefold())
    if known is None:
        raise ConfigError(f"line {line}: state is {word!r}; expected one of {', '.join(_WORDS)}")
    return known == "on"
