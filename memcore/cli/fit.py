"""`memcore fit`: a measured device as a file that names it anywhere."""

from pathlib import Path
from typing import Any

import click

from memcore.cli.output import OutputFile
from memcore.errors import ConfigError


@click.command("fit")
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--device", required=True, help="The model to fit, such as yakopcic.")
@click.option("--preset", help="A published parameter set to begin with; else the defaults.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    required=True,
    metavar="WHAT=HEADING:UNIT",
    help="What a column is: time, voltage, current; or pulse, direction, conductance, resistance; "
    "for tabular also device, or voltage, current, curve. "
    'Its heading in the file, and its unit, as in "voltage=V (mV):mV"; "1" for pure numbers.',
)
@click.option("--free", multiple=True, help="A parameter to fit; all of them by default.")
@click.option(
    "--fixed", multiple=True, metavar="NAME[=VALUE]", help="A parameter to hold, at this value."
)
@click.option("--dt", type=float, help="Seconds between two samples of a file without times.")
@click.option("--resample", is_flag=True, help="Bring uneven samples to equal steps.")
@click.option("--seed", default=0, show_default=True, help="Of the starts of the search.")
@click.option(
    "--plot",
    type=OutputFile(picture=True),
    help="Write data, model and residuals here (.png, .svg, .pdf).",
)
@click.option("-o", "--out", type=OutputFile(), required=True, help="The device's file, .toml.")
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
    """Heading and unit of each `WHAT=HEADING:UNIT`, by what it is."""
    found: dict[str, tuple[str, str]] = {}
    for text in columns:
        what, equals, rest = text.partition("=")
        heading, colon, unit = rest.rpartition(":")
        if not (equals and colon and what and heading and unit):
            raise ConfigError(
                f"--column {text!r}; expected WHAT=HEADING:UNIT, such as 'voltage=V (mV):mV'"
            )
        if what in found:
            raise ConfigError(
                f"--column {what} is given twice, as {found[what][0]!r} and as {heading!r}; "
                "expected one column"
            )
        found[what] = heading, unit
    return found


def _held(fixed: tuple[str, ...]) -> tuple[str, ...] | dict[str, float]:
    """Names to hold, or values by name if there is one."""
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
