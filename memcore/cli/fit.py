"""`memcore fit`: fits a device to a measurement and writes a device file."""

import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from memcore.cli.output import OutputFile
from memcore.errors import ConfigError

#: Exit status where the model misses the data.
MISSES: Final = 3
UNITLESS: Final = ("direction", "device", "curve", "pulse")  #: columns whose unit may be left out
_SOON: Final = 2.0  #: seconds before progress is shown
#: The names in `memcore.fitting.problem`, which help must not import: it loads torch.
SCALES: Final = ("linear", "relative", "asinh")
LOSSES: Final = ("linear", "soft_l1", "huber", "cauchy")


@click.command("fit")
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--device", required=True, help="Device model to fit, such as yakopcic.")
@click.option("--preset", help="Published parameter set to start from, in place of the defaults.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    required=True,
    metavar="WHAT=HEADING:UNIT",
    help="Meaning, heading (or number, from 1) and unit of a column. WHAT is time, voltage or "
    "current; or pulse, direction, conductance, resistance or current; or pulse, ltp and ltd; for "
    "tabular also device, or voltage, current or curve. "
    'An example is "voltage=V (mV):mV"; the unit of pure numbers is "1".',
)
@click.option(
    "--delimiter",
    default=",",
    show_default=True,
    help='Separator of the columns: a character, "tab", or "blank" for any number of blanks.',
)
@click.option("--decimal", default=".", show_default=True, help="Decimal character, . or ,")
@click.option("--encoding", help="Encoding of the file, such as utf-16 or gb18030.")
@click.option("--record", type=int, help="Number of the record, from 1, where there are several.")
@click.option(
    "--marks",
    type=click.Choice(("refuse", "drop")),
    default="refuse",
    show_default=True,
    help="What becomes of samples that the instrument marks, such as 9.91e37 or OVERFLOW.",
)
@click.option(
    "--missing", multiple=True, help="Further cell that stands for no measurement, such as -999."
)
@click.option("--transposed", is_flag=True, help="Each quantity stands in a row, its name first.")
@click.option(
    "--read-voltage", type=float, help="Voltage at which currents after pulses were read, in V."
)
@click.option("--free", multiple=True, help="Parameter to fit; by default all of them.")
@click.option(
    "--fixed",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Parameter to hold, at VALUE if it is given.",
)
@click.option(
    "--start",
    "begin",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value at which the search of a parameter starts.",
)
@click.option(
    "--bounds",
    multiple=True,
    metavar="NAME=LEAST:GREATEST",
    help="Least and greatest value of a parameter.",
)
@click.option(
    "--scale",
    type=click.Choice(SCALES),
    default="linear",
    show_default=True,
    help="Comparison by differences, by relative ones, or by those of the asinh.",
)
@click.option(
    "--loss",
    type=click.Choice(LOSSES),
    default="linear",
    show_default=True,
    help="Least squares (linear), or a loss that tolerates outliers.",
)
@click.option(
    "--starts",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Most searches: one from the start, the others over the whole range of the data.",
)
@click.option("--series", type=float, default=0.0, help="Resistance in series in ohm.")
@click.option("--limit", type=float, help="Current limit (compliance) of the instrument in A.")
@click.option("--dt", type=float, help="Time between two samples of a file without times, in s.")
@click.option("--resample", is_flag=True, help="Resample uneven samples to equal steps.")
@click.option(
    "--substeps",
    type=click.IntRange(min=1),
    help="Steps between two samples; 1 holds the voltage.  [default: both are tried]",
)
@click.option("--seed", default=0, show_default=True, help="Random seed of the searches.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@click.option(
    "--plot",
    type=OutputFile(picture=True),
    help="File for a picture of data, model and residuals (.png, .svg, .pdf).",
)
@click.option("-o", "--out", type=OutputFile(), required=True, help="Device file to write, .toml.")
def fit(
    data: Path,
    device: str,
    preset: str | None,
    columns: tuple[str, ...],
    free: tuple[str, ...],
    fixed: tuple[str, ...],
    begin: tuple[str, ...],
    bounds: tuple[str, ...],
    quiet: bool,
    plot: Path | None,
    out: Path,
    **options: Any,
) -> None:
    """Fit a device model to the measurement in the text file DATA.

    Exits with 3 where the model misses the data: the device file is written, without uncertainties.
    """
    import memcore
    from memcore.fitting import FitOptions
    from memcore.registry.device_file import require_name

    require_name(out)
    if preset and begin:
        raise ConfigError("--preset and --start both say where to begin; expected one of them")
    named = _named(columns)
    shown = None if quiet else _Shown()
    chosen = FitOptions(
        columns={what: heading for what, (heading, _) in named.items()},
        units={what: unit for what, (_, unit) in named.items() if unit},
        start=preset or _numbers(begin, "--start") or None,
        free=free or None,
        fixed=_held(fixed),
        bounds=_pairs(bounds) or None,
        progress=shown,
        **options,
    )
    fitted = memcore.fit(device, data, options=chosen)
    if shown is not None:
        shown.end()
    click.echo(str(fitted))
    fitted.to_toml(out)
    click.echo(f"\ndevice {out}")
    if plot is not None:
        fitted.plot().savefig(plot)
        click.echo(f"plot   {plot}")
    if fitted.misfit:
        click.get_current_context().exit(MISSES)


class _Shown:
    """Shows on one line of a terminal how far a search is, once it takes long."""

    def __init__(self) -> None:
        self.begin, self.width = time.monotonic(), 0

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty() and time.monotonic() - self.begin > _SOON:
            click.echo(f"\r{text.ljust(self.width)}", err=True, nl=False)
            self.width = len(text)

    def end(self) -> None:
        """Clear the line."""
        if self.width:
            click.echo(f"\r{' ' * self.width}\r", err=True, nl=False)


def _numbers(pairs: tuple[str, ...], option: str) -> dict[str, float]:
    """The numbers of each `NAME=VALUE`, by NAME."""
    given: dict[str, float] = {}
    for text in pairs:
        name, equals, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise ConfigError(f"{option} {text!r}; expected NAME=NUMBER, such as r_on=1e3")
        if name in given:
            raise ConfigError(f"{option} {name} is given twice; expected once")
        given[name] = number
    return given


def _pairs(bounds: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The ends of each `NAME=LEAST:GREATEST`, by NAME."""
    given: dict[str, tuple[float, float]] = {}
    for text in bounds:
        name, equals, value = text.partition("=")
        least, colon, greatest = value.partition(":")
        try:
            ends = float(least), float(greatest)
        except ValueError:
            colon = ""
        if not (name and equals and colon):
            raise ConfigError(
                f"--bounds {text!r}; expected NAME=LEAST:GREATEST, such as r_on=1e2:1e5"
            )
        if name in given:
            raise ConfigError(f"--bounds {name} is given twice; expected once")
        given[name] = ends
    return given


def _named(columns: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """The heading and the unit of each `WHAT=HEADING:UNIT`, by WHAT."""
    named: dict[str, tuple[str, str]] = {}
    for text in columns:
        what, equals, rest = text.partition("=")
        heading, colon, unit = rest.rpartition(":")
        if what in UNITLESS and not (colon and unit):
            heading, colon, unit = rest, ":", "1"
        if not (equals and colon and what and heading and unit):
            raise ConfigError(
                f"--column {text!r}; expected WHAT=HEADING:UNIT, such as 'voltage=V (mV):mV'"
            )
        if what in named:
            raise ConfigError(
                f"--column {what} is given twice, as {named[what][0]!r} and as {heading!r}; "
                "expected one column"
            )
        named[what] = heading, unit
    return named


def _held(fixed: tuple[str, ...]) -> tuple[str, ...] | dict[str, float]:
    """The names of parameters to hold, or their values by name if there is one."""
    pairs = [text.partition("=") for text in fixed]
    if not any(equals for _, equals, _ in pairs):
        return fixed
    names = [name for name, _, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--fixed {name} is given {names.count(name)} times; expected once")
    try:
        return {name: float(value) for name, _, value in pairs}
    except ValueError:
        raise ConfigError(
            f"--fixed {' '.join(fixed)}; expected only names, or only NAME=NUMBER"
        ) from None
