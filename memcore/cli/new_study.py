"""`memcore new-study`: a study file to begin with."""

from pathlib import Path
from typing import Any

import click

from memcore.cli.output import OutputFile


@click.command("new-study", short_help="Write a study file with every default and its source.")
@click.argument("file", type=OutputFile())
@click.option(
    "--device", default="ideal", show_default=True, help="Device of the cells, or a device file."
)
@click.option("--preset", help="Published parameter set of the device, in place of its defaults.")
@click.option(
    "--effect",
    multiple=True,
    help="Non-ideality that acts; once for each, in their order.  [default: none]",
)
@click.option(
    "--mapper",
    default="differential",
    show_default=True,
    help="Mapper that turns weights into conductances.",
)
@click.option("--programmer", help="Routine that writes the cells.  [default: the device's own]")
@click.option("--dac", help="Converter of the inputs.  [default: none]")
@click.option("--adc", help="Converter of the outputs of each array.  [default: none]")
def new_study(
    file: Path, device: str, preset: str | None, effect: tuple[str, ...], **parts: Any
) -> None:
    """Write the study file FILE, in which every parameter of the chosen plugins stands.

    Each has its default, its unit, its range and its source beside it. `memcore plugins` lists what
    there is to choose from, and `memcore run FILE` accepts the file as it is.
    """
    from memcore import study

    spec = device if preset is None else {"name": device, "preset": preset}
    study.compose(file, spec, nonidealities=effect, **parts)
    click.echo(f"study {file}; next: memcore run {file}")
