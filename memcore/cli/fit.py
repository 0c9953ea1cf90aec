"""`memcore fit`: fits a device or an effect to a measurement and writes a file of it."""

from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import click

from memcore.cli.columns import by_name, dialect, named_columns
from memcore.cli.output import OutputFile
from memcore.cli.progress import Shown
from memcore.errors import ConfigError

#: Exit status where the model misses the data.
MISSES: Final = 3
#: The names in `memcore.fitting.problem`, which help must not import: it loads torch.
SCALES: Final = ("linear", "relative", "asinh")
LOSSES: Final = ("linear", "soft_l1", "huber", "cauchy")
_NUMBER: Final = "NAME=NUMBER, such as r_on=1e3"
_BOUNDS: Final = "NAME=LEAST:GREATEST, such as r_on=1e2:1e5"


@click.command("fit", short_help="Fit a device or an effect of ageing to data.")
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--device",
    help="Device model to fit, such as yakopcic. With --effect, the device whose window the cells "
    "have.",
)
@click.option("--effect", help="Effect of ageing to fit to reads in time: drift or retention.")
@click.option("--preset", help="Published parameter set to start from, in place of the defaults.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    required=True,
    metavar="WHAT=HEADING:UNIT",
    help="Meaning, heading (or number, from 1) and unit of a column. WHAT is time, voltage or "
    "current; or pulse, direction, conductance, resistance or current; or pulse, ltp and ltd; for "
    "tabular also device, or voltage, current or curve; for on_off on and off, or state, and "
    "perhaps device; with --effect time, conductance, resistance or current, and device or level, "
    "which tell cells apart. "
    'An example is "voltage=V (mV):mV"; the unit of pure numbers is "1".',
)
@dialect
@click.option(
    "--read-voltage",
    type=float,
    help="Voltage at which currents after pulses, or in time, were read, in V.",
)
@click.option(
    "--temperature",
    type=float,
    help="With --effect, temperature of the cells, in K.  [default: 300]",
)
@click.option(
    "--spread/--no-spread",
    default=None,
    help="With --effect, whether cells may differ.  [default: as the data say]",
)
@click.option(
    "--free", multiple=True, help="Parameter to fit; once for each.  [default: all of them]"
)
@click.option(
    "--fixed",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Parameter to hold, at VALUE in SI units if it is given; once for each.",
)
@click.option(
    "--start",
    "begin",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value at which the search of a parameter starts, in SI units; once for each.",
)
@click.option(
    "--bounds",
    multiple=True,
    metavar="NAME=LEAST:GREATEST",
    help="Least and greatest value of a parameter, in SI units; once for each.",
)
@click.option(
    "--scale",
    type=click.Choice(SCALES),
    default="linear",
    show_default=True,
    help="What is compared: values, their relative differences, or their asinh.",
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
    help="Greatest number of searches: one from the start, the others over the whole range of the "
    "data.",
)
@click.option(
    "--series",
    type=float,
    default=0.0,
    show_default=True,
    help="Resistance in series with the device, in ohm.",
)
@click.option(
    "--limit",
    type=float,
    help="Current limit (compliance) of the instrument, in A.  [default: none]",
)
@click.option("--dt", type=float, help="Time between two samples of a file without times, in s.")
@click.option("--resample", is_flag=True, help="Resample uneven samples to equal steps.")
@click.option(
    "--substeps",
    type=click.IntRange(min=1),
    help="Number of steps between two samples; 1 holds the voltage.  [default: both are tried]",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the starts of the searches.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@click.option(
    "--plot",
    type=OutputFile(picture=True),
    help="File for a picture of data, model and residuals (.png, .svg, .pdf).",
)
@click.option(
    "-o", "--out", type=OutputFile(), required=True, help="Device or effect file to write, .toml."
)
def fit(
    data: Path,
    device: str | None,
    effect: str | None,
    temperature: float | None,
    spread: bool | None,
    quiet: bool,
    plot: Path | None,
    out: Path,
    **search: Any,
) -> None:
    """Fit a device model, or an effect of ageing, to the measurement in the text file DATA.

    The exit status is 3 where the model misses the data: the file is written all the same, without
    uncertainties.
    """
    from memcore.registry.device_file import require_name

    require_name(out)
    _require_one(device, effect, {"--temperature": temperature, "--spread": spread})
    with closing(Shown(quiet=quiet)) as shown:
        options = _options(**search, progress=shown)
        fitted = _fitted(data, device, effect, temperature, spread, options)
    _written(fitted, out, plot)
    if fitted.misfit:
        click.get_current_context().exit(MISSES)


def _options(
    preset: str | None,
    columns: tuple[str, ...],
    free: tuple[str, ...],
    fixed: tuple[str, ...],
    begin: tuple[str, ...],
    bounds: tuple[str, ...],
    **as_given: Any,
) -> Any:
    """The `memcore.fitting.FitOptions` that the options of the command line say."""
    from memcore.fitting import FitOptions

    if preset and begin:
        raise ConfigError("--preset and --start both say where to begin; expected one of them")
    named = named_columns(columns)
    return FitOptions(
        columns={what: heading for what, (heading, _) in named.items()},
        units={what: unit for what, (_, unit) in named.items() if unit},
        start=preset or by_name(begin, "--start", _NUMBER, float) or None,
        free=free or None,
        fixed=_held(fixed),
        bounds=by_name(bounds, "--bounds", _BOUNDS, _ends) or None,
        **as_given,
    )


def _fitted(
    data: Path,
    device: str | None,
    effect: str | None,
    temperature: float | None,
    spread: bool | None,
    options: Any,
) -> Any:
    """The fit of an effect where one is named, of a device otherwise."""
    import memcore
    from memcore.fitting import fit_retention

    if effect is None:
        assert device is not None  # `_require_one`
        return memcore.fit(device, data, options=options)
    kelvin = {} if temperature is None else {"temperature": temperature}
    return fit_retention(effect, data, device=device, spread=spread, options=options, **kelvin)


def _written(fitted: Any, out: Path, plot: Path | None) -> None:
    """Print a fit, and write its file and its picture."""
    click.echo(str(fitted))
    fitted.to_toml(out)
    click.echo(f"\n{'effect' if hasattr(fitted, 'effect') else 'device'} {out}")
    if plot is not None:
        fitted.plot().savefig(plot)
        click.echo(f"plot   {plot}")


def _require_one(device: str | None, effect: str | None, of_effects: dict[str, object]) -> None:
    """Refuse a fit of nothing, and options of effects without one."""
    if device is None and effect is None:
        raise ConfigError("nothing to fit; expected --device NAME, or --effect NAME for ageing")
    for option, value in of_effects.items():
        if effect is None and value is not None:
            raise ConfigError(f"{option} is of effects; expected --effect NAME, or leave it out")


def _ends(text: str) -> tuple[float, float]:
    """The ends of `LEAST:GREATEST`."""
    least, _, greatest = text.partition(":")
    return float(least), float(greatest)


def _held(fixed: tuple[str, ...]) -> tuple[str, ...] | dict[str, Any]:
    """The names of parameters to hold, or their values by name if there is one."""
    if not any("=" in text for text in fixed):
        return fixed
    return by_name(fixed, "--fixed", "only names, or only NAME=NUMBER", _held_value)


def _held_value(text: str) -> Any:
    """A number, or a word for a parameter that is one of a few; None for what is neither."""
    with suppress(ValueError):
        return float(text)
    return text if text.isidentifier() else None
