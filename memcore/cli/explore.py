"""`memcore explore`: a page with sliders for a device."""

from pathlib import Path

import click

from memcore.cli.output import OutputFile


@click.command("explore", short_help="Write a page with sliders for a device.")
@click.argument("device")
@click.option("--preset", help="Published parameter set to begin with, in place of the defaults.")
@click.option(
    "--vary",
    multiple=True,
    help="Parameter that gets a slider; up to three of them, two where written cells differ.  "
    "[default: those that change the curves most]",
)
@click.option("--out", type=OutputFile(), help="HTML file to write.  [default: DEVICE.html]")
def explore(device: str, preset: str | None, vary: tuple[str, ...], out: Path | None) -> None:
    """Write a page with sliders for the parameters of DEVICE that needs no network.

    DEVICE is a name or a device file, such as mydevice.toml. The page shows its loop, its response
    to pulses and the spread of written cells, and saves the device file of its setting.
    """
    from memcore.pages.explore import explore as written

    spec = device if preset is None else {"name": device, "preset": preset}
    path = out or OutputFile().convert(f"{Path(device).stem}.html", None, None)
    click.echo(f"page {written(spec, path, vary)}")
