"""`memcore report`: a study as one page."""

from pathlib import Path

import click

from memcore.cli.output import OutputFile


@click.command("report", short_help="Write a study as one HTML page.")
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--out", type=OutputFile(), help="HTML file to write.  [default: report.html in RESULTS]"
)
@click.option(
    "--own-code",
    is_flag=True,
    help="Build the network again even if code of the study's own makes it, which runs that code.",
)
def report(results: Path, out: Path | None, own_code: bool) -> None:
    """Write the study in the folder RESULTS as one HTML page that needs no network.

    It has the question, a picture and a table for each sweep, histograms of the cells of the first
    chip, maps of what its wires take, provenance, the command that makes it again and what to cite.
    A study that is not complete gives the points that are there.
    """
    from memcore import study

    click.echo(f"report {study.report(results, out, own_code=own_code)}")
