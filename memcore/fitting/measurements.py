"""Measured data: the current under a voltage, or the conductance after pulses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from memcore.errors import ConfigError
from memcore.fitting.table import Table, read_table
from memcore.fitting.units import Quantity

_IV: Final[Mapping[str, Quantity]] = {
    name: Quantity(name) for name in ("time", "voltage", "current")
}
#: What the columns of measured pulses may be.
PULSES: Final[Mapping[str, Quantity]] = {
    "pulse": Quantity("number"),
    "direction": Quantity(""),
    "conductance": Quantity("conductance"),
    "resistance": Quantity("resistance"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class IVData:
    """The current of one cell under a voltage, as numbers or tensors of one length [samples].

    Args:
        time: times in s, ascending.
        voltage: voltages in V, as applied from `time` on.
        current: currents in A, measured at `time`.
        source: origin of the numbers, for the provenance.
    """

    time: Any
    voltage: Any
    current: Any
    source: Mapping[str, object] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        settle(self, ("time", "voltage", "current"), least=3)
        step = self.time.diff()
        if not bool((step > 0).all()):
            first = int((step <= 0).nonzero()[0]) + 1
            raise ConfigError(
                f"time does not ascend at sample {first}: {float(self.time[first - 1])!r} s, then "
                f"{float(self.time[first])!r} s; expected samples in the order of their time"
            )

    @property
    def abscissa(self) -> Tensor:
        """The time of each sample in s."""
        return _tensor(self.time)

    @property
    def applied(self) -> Tensor | None:
        """The voltage of each sample in V."""
        return _tensor(self.voltage)

    @property
    def measured(self) -> Tensor:
        """The currents in A."""
        return _tensor(self.current)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str],
        units: Mapping[str, str],
        dt: float | None = None,
        delimiter: str = ",",
    ) -> "IVData":
        """Read a CSV file.

        Args:
            path: path of the file.
            columns: headings of the columns of "time", "voltage" and "current".
            units: units of these columns, such as `{"time": "ms", "voltage": "V", "current":
                "uA"}`.
            dt: time between two samples in s, in place of a column of times.
            delimiter: separator of the columns.

        Raises:
            ConfigError: a column, a unit or a number is missing or does not fit.
        """
        table = read_table(path, columns, units, _IV, delimiter)
        missing = [name for name in ("voltage", "current") if name not in table.values]
        if missing or ("time" in table.values) == (dt is not None):
            raise ConfigError(
                f"columns has {', '.join(columns)}{'' if dt is None else ' beside dt'}; expected "
                "voltage, current and either time or dt=seconds between two samples"
            )
        values = dict(table.values)
        if dt is not None:
            if not is_positive(dt):
                raise ConfigError(f"dt={dt!r}; expected seconds > 0 between two samples")
            values["time"] = dt * torch.arange(len(values["current"]), dtype=torch.float64)
        return cls(**values, source={**table.source, **({} if dt is None else {"dt": dt})})


@dataclass(frozen=True, kw_only=True, eq=False)
class PulseData:
    """The conductance of one cell after pulses, as numbers or tensors of one length [reads].

    Args:
        count: number of pulses since the read before, > 0 towards SET and < 0 towards RESET; 0 for
            a read of the fresh cell.
        conductance: conductances in S.
        source: origin of the numbers, for the provenance.
        label: name of the data in messages.
    """

    count: Any
    conductance: Any
    source: Mapping[str, object] = field(default_factory=dict, repr=False)
    label: str = ""

    def __post_init__(self) -> None:
        settle(self, ("count", "conductance"), least=3, label=self.label)
        where = f"{self.label}: " if self.label else ""
        if not bool((self.count == self.count.round()).all()):
            raise ConfigError(f"{where}count has fractions; expected whole numbers of pulses")
        if not bool((self.conductance > 0).all()):
            raise ConfigError(f"{where}conductance has values <= 0; expected siemens > 0")

    @property
    def abscissa(self) -> Tensor:
        """The number of pulses given before each read."""
        return _tensor(self.count).abs().cumsum(0)

    @property
    def applied(self) -> Tensor | None:
        """None, since pulses have the voltage of the device."""
        return None

    @property
    def measured(self) -> Tensor:
        """The conductances in S."""
        return _tensor(self.conductance)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str],
        units: Mapping[str, str],
        delimiter: str = ",",
    ) -> "PulseData":
        """Read a CSV file, a row for each read.

        Args:
            path: path of the file.
            columns: headings of "direction" (up or down, set or reset, ltp or ltd, 1 or -1), of
                "conductance" or "resistance", and perhaps of "pulse", the number of the last pulse
                in order, 0 for the fresh cell; without it there is one pulse to each row.
            units: unit of the conductance or the resistance.
            delimiter: separator of the columns.

        Raises:
            ConfigError: a column, a unit or a number is missing or does not fit.
        """
        return cls.from_table(read_table(path, columns, units, PULSES, delimiter), columns)

    @classmethod
    def from_table(cls, table: Table, columns: Mapping[str, str], label: str = "") -> "PulseData":
        """The reads in the rows of a table.

        Args:
            table: table with direction, conductance or resistance, and perhaps pulse.
            columns: headings of the columns, for messages.
            label: name of the data in messages.

        Raises:
            ConfigError: a column is missing or does not fit.
        """
        return cls(
            count=_counts(table, label),
            conductance=conductance_of(table, columns),
            source=table.source,
            label=label,
        )


def conductance_of(table: Table, columns: Mapping[str, str]) -> Tensor:
    """The conductances in S, from a column of conductances or of resistances.

    Raises:
        ConfigError: there is not exactly one of the two.
    """
    given = [name for name in ("conductance", "resistance") if name in table.values]
    if len(given) != 1:
        raise ConfigError(
            f"columns has {', '.join(columns)}; expected one of conductance and resistance"
        )
    values = table.values[given[0]]
    return values if given == ["conductance"] else 1 / values


def _counts(table: Table, label: str) -> Tensor:
    if "direction" not in table.values:
        raise ConfigError(
            'columns has no direction; expected columns={"direction": ...} with up or down in each '
            "row, beside conductance or resistance"
        )
    direction = table.values["direction"]
    if "pulse" not in table.values:
        return direction
    number = table.values["pulse"]
    since = number.diff(prepend=number.new_zeros(1))
    if not bool((since >= 0).all()):
        raise ConfigError(
            f"{label}{': ' if label else ''}the numbers of the pulses descend; expected them to "
            "count on through ups and downs: leave the column out where there is one pulse to "
            "each row"
        )
    return direction * since


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)  # `settle` made it one
    return value


#: What a path may hold.
Data = IVData | PulseData


def load(
    data: Data | str | Path,
    columns: Mapping[str, str] | None,
    units: Mapping[str, str] | None,
    delimiter: str = ",",
    dt: float | None = None,
) -> Data:
    """Take data as they are, or read them from a file whose columns tell their kind.

    Raises:
        ConfigError: a column, a unit or a number is missing or does not fit.
    """
    if isinstance(data, IVData | PulseData):
        if columns or units:
            raise ConfigError(
                f"columns and units describe a file, but data is {data!r}; leave them out"
            )
        return data
    if not isinstance(data, str | Path):
        raise ConfigError(
            f"data is {type(data).__name__}; expected the path of a CSV file, fitting.IVData or "
            "fitting.PulseData"
        )
    columns, units = dict(columns or {}), dict(units or {})
    if set(columns) & set(PULSES):
        return PulseData.from_csv(data, columns=columns, units=units, delimiter=delimiter)
    return IVData.from_csv(data, columns=columns, units=units, dt=dt, delimiter=delimiter)


def is_positive(value: object) -> bool:
    """Whether a value is a finite number > 0."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and 0 < float(value) < math.inf  # type: ignore[arg-type]


def settle(data: object, names: tuple[str, ...], least: int, label: str = "") -> None:
    """Make float64 tensors of the given values, and refuse values that do not fit together.

    Args:
        data: a frozen dataclass with rows of numbers.
        names: names of the fields, which must have one length.
        least: smallest allowed number of values.
        label: name of the data in messages.

    Raises:
        ConfigError: naming the row.
    """
    kind = label or type(data).__name__
    for name in names:
        given = getattr(data, name)
        try:
            value = torch.as_tensor(given, dtype=torch.float64).detach().cpu()
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{kind}: {name} is no row of numbers ({error}); expected [n]"
            ) from None
        if value.dim() != 1 or value.numel() < least:
            raise ConfigError(
                f"{kind}: {name} has shape {tuple(value.shape)}; expected [n], n >= {least}"
            )
        if not bool(value.isfinite().all()):
            bad = int((~value.isfinite()).sum())
            raise ConfigError(
                f"{kind}: {bad} values of {name} are NaN or infinite; expected finite numbers"
            )
        object.__setattr__(data, name, value)
    lengths = {name: len(getattr(data, name)) for name in names}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{n} of {name}" for name, n in lengths.items())
        raise ConfigError(f"{kind}: there are {listed}; expected as many of each")
