"""`memcore fit`: fits a device to a measurement and writes a device file."""

from pathlib import Path
from typing import Any

import click

from memcore.cli.output import OutputFile
from memcore.errors import ConfigError


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
    help="Meaning, heading and unit of a column. WHAT is time, voltage or current; or pulse, "
    "direction, conductance or resistance; for tabular also device, or voltage, current or curve. "
    'An example is "voltage=V (mV):mV"; the unit of pure numbers is "1".',
)
@click.option("--free", multiple=True, help="Parameter to fit; by default all of them.")
@click.option(
    "--fixed",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Parameter to hold, at VALUE if it is given.",
)
@click.option("--dt", type=float, help="Time between two samples of a file without times, in s.")
@click.option("--resample", is_flag=True, help="Resample uneven samples to equal steps.")
@click.option(
    "--seed", default=0, show_default=True, help="Random seed of the starts of the search."
)
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
    plot: Path | None,
    out: Path,
    **options: Any,
) -> None:
    """Fit a device model to the measurement in the CSV file DATA."""
    import memcore
    from memcore.fitting import FitOptions
    from memcore.registry.device_file import require_name

    require_name(out)
    named = _named(columns)
    chosen = FitOptions(
        columns={what: heading for what, (heading, _) in named.items()},
        units={what: unit for what, (_, unit) in named.items()},
        start=preset,
        free=free or None,
        fixed=_held(fixed),
        **options,
    )
    fitted = memcore.fit(device, data, options=chosen)
    click.echo(str(fitted))
    fitted.to_toml(out)
    click.echo(f"\ndevice {out}")
    if plot is not None:
        fitted.plot().savefig(plot)
        click.echo(f"plot   {plot}")


def _named(columns: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """The heading and the unit of each `WHAT=HEADING:UNIT`, by WHAT."""
    named: dict[str, tuple[str, str]] = {}
    for text in columns:
        what, equals, rest = text.partition("=")
        heading, colon, unit = rest.rpartition(":")
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
