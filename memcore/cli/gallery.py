"""`memcore gallery`: what was published of chips beside what the cost models say."""

import json
from pathlib import Path

import click

from memcore.cli.output import OutputFile


@click.command("gallery", short_help="Hold cost models against published chips.")
@click.argument("chips", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for other programs.")
@click.option(
    "--plot",
    type=OutputFile(picture=True),
    help="File for a picture of all differences (.png, .svg, .pdf).",
)
def gallery(chips: tuple[str, ...], as_json: bool, plot: Path | None) -> None:
    """Show figures that were published of CHIPS beside those of the cost models.

    CHIPS are names of chips that come with memcore, all of them by default, or TOML files. A file
    may name a network in a module, which is imported and called: take one from a stranger only
    after you have read it.
    """
    from memcore.report.gallery import gallery as compared
    from memcore.study.sources import importable

    with importable(Path.cwd()):
        found = compared(*chips)
    if plot is not None:
        from memcore.plot import comparison

        comparison(found).figure.savefig(plot)  # type: ignore[union-attr]
    if as_json:
        click.echo(json.dumps([chip.to_json() for chip in found], indent=2))
    else:
        click.echo("\n\n".join(map(str, found)))
