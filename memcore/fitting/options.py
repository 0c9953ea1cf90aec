"""The options of a fit as one value, and checks that they can act on the data and the device."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from memcore._text import hint
from memcore.dynamics.load import Load
from memcore.errors import ArgumentTypeError, ConfigError
from memcore.fitting.dialect import Dialect
from memcore.fitting.measurements import IVData
from memcore.fitting.option_types import require_types
from memcore.fitting.units import read

#: Options that act without a search.
_DIALECT: Final = (
    *("delimiter", "decimal", "encoding", "record", "marks", "missing", "transposed"),
)
_OF_FILES: Final = ("columns", "units", "read_voltage", *_DIALECT)
_ALWAYS: Final = (*_OF_FILES, "start", "fixed", "date", "progress")
#: Options of a search, which the provenance records.
_SEARCHED: Final = (
    *("scale", "floor", "loss", "starts", "seed", "resample", "substeps", "series", "limit"),
)


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """The options of `memcore.fit`: how a file is read and how the search is done.

    Each option can also be given to `memcore.fit` by its keyword.

    Attributes:
        columns: headings of the columns of a file, or their numbers from 1, by what they hold:
            time, voltage and current; or pulse, direction, and conductance, resistance or current;
            or pulse, ltp and ltd. For a device that holds what was measured there is also the
            column device; or the columns are voltage, current and curve.
        units: units of the columns of a file, such as "mV" or "uS", by what they hold; no unit is
            guessed.
        delimiter: separator of the columns of a file; " " for any number of blanks.
        decimal: character before the decimals in a file, "." or ",".
        encoding: encoding of a file; by default that of its byte-order mark, else UTF-8 or Latin-1.
        record: number of the record, from 1, in a file that holds several.
        marks: what becomes of cells of a file that an instrument marks as no measurement, such as
            9.91e37 or OVERFLOW: "refuse" them, or "drop" their samples.
        missing: further cells that stand for no measurement, such as "-999".
        transposed: whether each quantity of a file stands in a row, its name first.
        read_voltage: voltage in V at which the currents after pulses were read.
        dt: time between two samples of a file without a column of times, in s.
        start: values at which the search starts, by name, or a preset of the device. Parameters
            that are not fitted keep the values of the device given; only where the device is given
            by its name or class alone, they are those of the preset.
        free: names of the parameters to fit. By default all numbers are fitted, except those that
            start at 0 and may be of any size.
        fixed: names of the parameters to hold, or their values by name.
        bounds: least and greatest values of parameters, by name.
        scale: comparison of predictions and measurements: by their difference ("linear"), by the
            difference relative to the measured value ("relative"), or by the difference of their
            asinh ("asinh").
        floor: share of the largest value below which the scales "relative" and "asinh" compare
            differences.
        loss: loss of the search: "linear" for least squares; the others tolerate outliers.
        starts: number of searches: one from the given start, and others over the whole range that
            the data suggest, until the model describes them or two end at the same place.
        seed: random seed of the searches.
        resample: whether to resample uneven samples at their median interval, or a time step in s.
        substeps: number of steps between two samples; with one, the voltage of a sample is held
            until the next one, with more it changes linearly. By default both are tried, and the
            provenance says which describes the data better.
        series: resistance in series with the cell in ohm, where `voltage` is that of the source.
        limit: current limit of the instrument in A. Samples at it are not compared, and the voltage
            is tried as that of the cell itself and as that of a source, which falls at the limit.
        date: date of the measurement, for the provenance.
        progress: function to call with a sentence now and then, such as `print`.

    Raises:
        ConfigError: an option has a value that does not fit.
    """

    columns: Mapping[str, str | int] | None = None
    units: Mapping[str, str] | None = None
    delimiter: str = ","
    decimal: str = "."
    encoding: str | None = None
    record: int | None = None
    marks: Literal["refuse", "drop"] = "refuse"
    missing: Sequence[str] = ()
    transposed: bool = False
    read_voltage: float | None = None
    dt: float | None = None
    start: str | Mapping[str, float] | None = None
    free: Sequence[str] | None = None
    fixed: Sequence[str] | Mapping[str, float] = ()
    bounds: Mapping[str, tuple[float, float]] | None = None
    scale: Literal["linear", "relative", "asinh"] = "linear"
    floor: float = 0.01
    loss: Literal["linear", "soft_l1", "huber", "cauchy"] = "linear"
    starts: int = 4
    seed: int = 0
    resample: bool | float = False
    substeps: int | None = None
    series: float = 0.0
    limit: float | None = None
    date: str = ""
    progress: Callable[[str], object] | None = None

    def __post_init__(self) -> None:
        require_types(self)
        if self.free is not None and not list(self.free):
            raise ConfigError(
                "free is empty; expected names of parameters, or None for all of them"
            )
        # These refuse what does not fit.
        Load(self.series, self.limit)
        Dialect(**self.dialect)

    @classmethod
    def of(cls, options: Self | None, settings: Mapping[str, Any]) -> Self:
        """The options with some of them replaced by keywords.

        Args:
            options: the options to begin with; None for the defaults.
            settings: options by name.

        Raises:
            ArgumentTypeError: there is no option of that name, or `options` is something else.
            ConfigError: an option has a value that does not fit.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in names:
                raise ArgumentTypeError(f"a fit has no option {name!r}{hint(name, names)}")
        if not isinstance(options, FitOptions | None):
            raise ArgumentTypeError(
                f"options is a {type(options).__name__}; expected FitOptions(...)"
            )
        return dataclasses.replace(cls() if options is None else options, **settings)

    @property
    def load(self) -> Load:
        """What stands between the source and the cell."""
        return Load(self.series, self.limit)

    @property
    def dialect(self) -> dict[str, Any]:
        """How a file is written, by the names in `fitting.Dialect`."""
        return {name: getattr(self, name) for name in _DIALECT}

    @property
    def volts_of_reads(self) -> float | None:
        """The voltage at which currents were read: `read_voltage`, or that of the device."""
        fixed = self.fixed if isinstance(self.fixed, Mapping) else {}
        return fixed.get("read_voltage") if self.read_voltage is None else self.read_voltage

    @property
    def changed(self) -> dict[str, Any]:
        """The options that are not at their defaults."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        }

    @property
    def recorded(self) -> dict[str, Any]:
        """The options of the search, for the provenance."""
        return {name: getattr(self, name) for name in _SEARCHED}


def require_acting(options: FitOptions, given: object, measured: object) -> None:
    """Refuse options that cannot act on the data.

    Args:
        options: the options of the fit.
        given: the data or the path of a file.
        measured: the data, read from the file if there is one.

    Raises:
        ConfigError: an option cannot act; the message gives the reason.
    """
    reasons: dict[str, str] = {}
    if not isinstance(given, str | Path):
        why = "describes a file, but data is none"
        reasons |= dict.fromkeys((*_DIALECT, "read_voltage"), why)
        reasons["dt"] = f"{why}: data have their times"
    elif not _has_currents(options):
        reasons["read_voltage"] = "is of reads of a current, but no column holds one"
    if not isinstance(measured, IVData):
        why = "is of currents in time, but data are of pulses or states"
        reasons |= dict.fromkeys(("dt", "resample", "substeps", "series", "limit"), why)
    if options.scale == "linear":
        reasons["floor"] = "acts with scale='relative' or 'asinh' only, but scale is 'linear'"
    changed = options.changed
    for name, why in reasons.items():
        if name in changed:
            raise ConfigError(f"{name}={changed[name]!r} {why}; leave {name} out")


def _has_currents(options: FitOptions) -> bool:
    """Whether a column is one of currents, as its declared unit says."""
    known = (read(unit) for unit in (options.units or {}).values() if isinstance(unit, str))
    return any(unit is not None and unit[0] == "current" for unit in known)


def require_no_search(device: object, options: FitOptions, given: object) -> None:
    """Refuse options of a search for a device that holds what was measured.

    Raises:
        ConfigError: an option cannot act; the message gives the reason.
    """
    kind = type(device).__name__
    for name, value in options.changed.items():
        if name not in _ALWAYS:
            raise ConfigError(
                f"{name}={value!r}, but {kind} holds what was measured and nothing is searched; "
                f"leave {name} out, set parameters by fixed={{name: value}}"
            )
    if options.fixed and not isinstance(options.fixed, Mapping):
        raise ConfigError(
            f"fixed={options.fixed!r}, but {kind} holds what was measured and nothing is "
            "searched; expected values by name: fixed={name: value}"
        )
    require_acting(options, given, given)


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function with each option in place of its `**settings`."""
    given = inspect.signature(function)
    kept = [p for p in given.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=field.type,
        )
        for field in dataclasses.fields(FitOptions)
    ]
    return given.replace(parameters=[*kept, *options])
