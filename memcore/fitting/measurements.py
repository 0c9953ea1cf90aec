"""Measured data: the current under a voltage, or the conductance after pulses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from memcore import _check
from memcore._keywords import hinted
from memcore._tensor import as_tensor
from memcore.contracts.units import MOST_SIEMENS, too_conductive
from memcore.errors import ArgumentTypeError, ConfigError
from memcore.fitting.dialect import Dialect
from memcore.fitting.reads import amplitudes_of, reads_of
from memcore.fitting.table import Table, read_table
from memcore.fitting.units import Quantity

_FEWEST: Final = 3  #: reads of pulses
_IV: Final[Mapping[str, Quantity]] = {
    name: Quantity(name) for name in ("time", "voltage", "current")
}
_BOTH: Final = Quantity("conductance", others=("resistance", "current"), optional=True)
#: What the columns of measured pulses may be.
PULSES: Final[Mapping[str, Quantity]] = {
    "pulse": Quantity("number"),
    "direction": Quantity(""),
    "conductance": Quantity("conductance"),
    "resistance": Quantity("resistance"),
    "current": Quantity("current"),
    "ltp": _BOTH,
    "ltd": _BOTH,
}
#: Columns that only measured pulses have.
OF_PULSES: Final = frozenset(PULSES) - {"current"}
_LARGEST: Final = 1e30  #: larger numbers are marks of an instrument


@dataclass(frozen=True, kw_only=True, eq=False)
class IVData:
    """The current of one cell under a voltage, as numbers or tensors of one length [samples].

    Args:
        time: times in s, ascending.
        voltage: voltages in V, as applied from `time` on.
        current: currents in A, measured at `time`.
        source: origin of the numbers, for the provenance.
        compared: which samples count, truth values [samples]; the others only carry the voltage.
            None for all.
        remarks: remarks for the user.
    """

    time: Any
    voltage: Any
    current: Any
    source: Mapping[str, object] = field(default_factory=dict, repr=False)
    compared: Any = None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        settle(self, ("time", "voltage", "current"), least=3)
        given = torch.ones(len(self.time), device="cpu") if self.compared is None else self.compared
        compared = as_tensor(given).bool()
        if compared.shape != self.time.shape:
            raise ConfigError(
                f"compared has shape {tuple(compared.shape)}; expected {tuple(self.time.shape)}, a "
                "truth value for each sample"
            )
        object.__setattr__(self, "compared", compared)
        step = self.time.diff()
        if not bool((step > 0).all()):
            first = int((step <= 0).nonzero()[0]) + 1
            raise ConfigError(
                f"time does not ascend at sample {first}: {float(self.time[first - 1])!r} s, then "
                f"{float(self.time[first])!r} s; expected samples in the order of their time: give "
                "dt=seconds in place of times that are rounded, or record=1 to read the first of "
                "several records in a file"
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
    @hinted
    def from_csv(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str],
        units: Mapping[str, str],
        dt: float | None = None,
        **dialect: Any,
    ) -> "IVData":
        """Read a text file of columns.

        Args:
            path: path of the file.
            columns: headings of the columns of "time", "voltage" and "current", or their numbers
                from 1.
            units: units of these columns, such as `{"time": "ms", "voltage": "V", "current":
                "uA"}`.
            dt: time between two samples in s, in place of a column of times.
            dialect: how the file is written, by the names in `fitting.Dialect`.

        Raises:
            ConfigError: a column, a unit or a number is missing or does not fit.
        """
        table = read_table(path, columns, units, _IV, Dialect(**dialect))
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
            values["time"] = dt * torch.arange(
                len(values["current"]), dtype=torch.float64, device="cpu"
            )
        known = values["time"].isfinite() & values["voltage"].isfinite()
        values = {name: value[known] for name, value in values.items()}
        compared = values["current"].isfinite()
        values["current"] = values["current"].nan_to_num()
        dropped = int((~known).sum()) + int((~compared).sum())
        return cls(
            **values,
            compared=compared,
            source={**table.source, **({} if dt is None else {"dt": dt})},
            remarks=(*table.notes, *_dropped(dropped)),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class PulseData:
    """The conductance of one cell after pulses, as numbers or tensors of one length [reads].

    Args:
        count: number of pulses since the read before, > 0 towards SET and < 0 towards RESET; 0 for
            a read of the fresh cell.
        conductance: conductances in S.
        source: origin of the numbers, for the provenance.
        label: name of the data in messages.
        remarks: remarks for the user.
        amplitudes: typical numbers of a column of directions above 0 and below, whose unit nobody
            declares; None where words stand there.
    """

    count: Any
    conductance: Any
    source: Mapping[str, object] = field(default_factory=dict, repr=False)
    label: str = ""
    remarks: tuple[str, ...] = ()
    amplitudes: tuple[float, float] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        settle(self, ("count", "conductance"), least=_FEWEST, label=self.label)
        where = f"{self.label}: " if self.label else ""
        if not bool((self.count == self.count.round()).all()):
            raise ConfigError(f"{where}count has fractions; expected whole numbers of pulses")
        wrong = self.conductance[~(self.conductance > 0)]
        if len(wrong):
            raise ConfigError(
                f"{where}conductance has values <= 0, such as {float(wrong[0]):.4g} S in "
                f"{len(wrong)} of {self.conductance.numel()} reads; expected siemens > 0: leave "
                "reads without a current out, and give read_voltage the sign of the currents"
            )

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
    @hinted
    def from_csv(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str],
        units: Mapping[str, str],
        read_voltage: float | None = None,
        **dialect: Any,
    ) -> "PulseData":
        """Read a text file of columns, a row for each read.

        Args:
            path: path of the file.
            columns: headings of the columns, or their numbers from 1: "direction" (up or down, set
                or reset, ltp or ltd, p or d, or the signed amplitude of the pulse, above 0 for
                SET), one of "conductance", "resistance" and "current", and perhaps "pulse", the
                number of the last pulse, 0 for a read before the first one; it may begin anew with
                each direction, and without it there is one pulse to each row. Or "ltp" and "ltd",
                two columns side by side, and perhaps "pulse".
            units: units of the columns but "direction".
            read_voltage: voltage of the reads in V, where currents were read.
            dialect: how the file is written, by the names in `fitting.Dialect`.

        Raises:
            ConfigError: a column, a unit or a number is missing or does not fit.
        """
        table = read_table(path, columns, units, PULSES, Dialect(**dialect))
        return cls.from_table(table, columns, read_voltage=read_voltage)

    @classmethod
    def from_table(
        cls,
        table: Table,
        columns: Mapping[str, Any],
        label: str = "",
        read_voltage: float | None = None,
    ) -> "PulseData":
        """The reads in the rows of a table.

        Args:
            table: table with the columns that `from_csv` names.
            columns: headings of the columns, for messages.
            label: name of the data in messages.
            read_voltage: voltage of the reads in V, where currents were read.

        Raises:
            ConfigError: a column is missing or does not fit.
        """
        count, conductance, remarks = reads_of(table, columns, label, read_voltage)
        if not label:
            _require_reads(len(conductance), table.source)
        return cls(
            count=count,
            conductance=conductance,
            source=table.source,
            label=label,
            remarks=(*table.notes, *remarks),
            amplitudes=amplitudes_of(table),
        )


def _require_reads(there: int, source: Mapping[str, object]) -> None:
    """Refuse a file with too few reads to tell what pulses do.

    Raises:
        ConfigError: with the file and how many it holds.
    """
    if there < _FEWEST:
        raise ConfigError(
            f"'{source.get('file')}' has {there} read{'s' * (there != 1)} of pulses; expected "
            f"{_FEWEST} or more: a row for each read, after one pulse or more"
        )


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)  # `settle` made it one
    return value


#: What a path may hold.
Data = IVData | PulseData


def load(
    data: Data | str | Path,
    columns: Mapping[str, Any] | None,
    units: Mapping[str, str] | None,
    *,
    dt: float | None = None,
    read_voltage: float | None = None,
    **dialect: Any,
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
            f"data is {type(data).__name__}; expected the path of a text file, fitting.IVData or "
            "fitting.PulseData"
        )
    columns, units = dict(columns or {}), dict(units or {})
    if set(columns) & OF_PULSES:
        if dt is not None:
            raise ConfigError(
                f"dt={dt!r} is of currents in time, but data are of pulses; leave dt out"
            )
        return PulseData.from_csv(
            data, columns=columns, units=units, read_voltage=read_voltage, **dialect
        )
    return IVData.from_csv(data, columns=columns, units=units, dt=dt, **dialect)


def _dropped(count: int) -> tuple[str, ...]:
    return (f"{count} samples that an instrument marks were left out",) if count else ()


def is_positive(value: object) -> bool:
    """Whether a value is a finite number > 0."""
    return _check.is_number(value) and 0 < float(value) < math.inf  # type: ignore[arg-type]


def require_siemens(name: str, conductance: Tensor) -> None:
    """Refuse conductances that only another unit explains.

    Args:
        name: name of the conductances in messages.
        conductance: conductances in S, [n].

    Raises:
        ConfigError: one is above what a cell has.
    """
    highest = float(conductance.max())
    if highest > MOST_SIEMENS:
        raise ConfigError(
            f"{too_conductive(name, highest)}; a file has the units that are declared for it, such "
            "as uS or uA"
        )


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
            if as_tensor(given).is_complex():
                raise ArgumentTypeError("complex numbers")
            value = as_tensor(given, dtype=torch.float64).detach().cpu()
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
        if bool((value.abs() >= _LARGEST).any()):
            first = int((value.abs() >= _LARGEST).nonzero()[0])
            raise ConfigError(
                f"{kind}: {name} is {float(value[first])!r} at sample {first}, which an instrument "
                "writes where it has no measurement; expected measured values: leave these samples "
                "out"
            )
        object.__setattr__(data, name, value)
    lengths = {name: len(getattr(data, name)) for name in names}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{n} of {name}" for name, n in lengths.items())
        raise ConfigError(f"{kind}: there are {listed}; expected as many of each")
