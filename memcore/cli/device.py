"""`memcore device`: the parameters and presets of a device, and its loop in files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memcore._text import aligned
from memcore.cli.output import OutputFile

if TYPE_CHECKING:
    from memcore.contracts.device import Memristor
    from memcore.dynamics.simulate import Trace


@click.command("device", short_help="Show the parameters of a device.")
@click.argument("name")
@click.option("--preset", help="Published parameter set to show, in place of the defaults.")
@click.option(
    "--plot",
    type=OutputFile(picture=True),
    help="File for a picture of the current-voltage loop (.png, .svg, .pdf).",
)
@click.option(
    "--csv",
    "table",
    type=OutputFile(),
    help="File for the samples of that loop: time in s, voltage in V, current in A, state (.csv).",
)
@click.option(
    "--spice",
    "deck",
    type=OutputFile(),
    help="File for that loop as a deck for ngspice, to run with ngspice -b FILE.",
)
def device(
    name: str, preset: str | None, plot: Path | None, table: Path | None, deck: Path | None
) -> None:
    """Show the parameters of the device NAME with units and sources, and its presets.

    NAME may be a device file, such as mydevice.toml.
    """
    from memcore._csv import csv_path
    from memcore.dynamics.sweep import liveliest_sweep
    from memcore.plot.notebook import parameters
    from memcore.registry.specs import plugin

    made = plugin("devices", name if preset is None else {"name": name, "preset": preset})
    cls = type(made)
    if table is not None:
        csv_path(table)  # before the work
    wanted = any(path is not None for path in (plot, table, deck))
    trace = liveliest_sweep(made) if wanted else None
    click.echo(f"{name}: {(cls.__doc__ or '').strip().partition(chr(10))[0]}")
    if preset is not None:
        click.echo(f"preset {preset}: {cls.presets[preset].source}")
    rows = [(row.name, row.value, row.unit, row.range, row.doc) for row in parameters(made)]
    for line in aligned(rows) if rows else ():
        click.echo(f"  {line}")
    _list_presets(cls)
    _tell_provenance(name)
    if trace is not None:
        _write(trace, plot, table, deck)


def _list_presets(cls: "type[Memristor]") -> None:
    if not cls.presets:
        return
    click.echo("presets")
    for name, preset in cls.presets.items():
        valid = f" [{preset.validity}]" if preset.validity else ""
        click.echo(f"  {name}: {preset.source}{valid}")


def _tell_provenance(name: str) -> None:
    from memcore.registry import device_file

    if device_file.is_device_file(name):
        tables = device_file.read(name)
        click.echo(f"device {tables['device']['name']}, from {name}")
        for key, value in tables.get("provenance", {}).items():
            click.echo(f"  {key}: {value}")


def _write(trace: "Trace", plot: Path | None, table: Path | None, deck: Path | None) -> None:
    if plot is not None:
        _draw(trace, plot)
    if table is not None:
        click.echo(f"samples {trace.to_csv(table)}")
    if deck is not None:
        from memcore.spice import transient

        deck.write_text(transient(trace), encoding="utf-8")
        click.echo(f"deck {deck}")


def _draw(trace: "Trace", path: Path) -> None:
    from memcore.plot import hysteresis

    hysteresis(trace).figure.savefig(path)  # type: ignore[union-attr]
    click.echo(f"loop {path}")
