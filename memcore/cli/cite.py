"""`memcore cite`: what to cite, as BibTeX."""

from pathlib import Path

import click


@click.command("cite", short_help="Show what to cite, as BibTeX.")
@click.argument("what", nargs=-1, metavar="[WHAT]...")
def cite(what: tuple[str, ...]) -> None:
    """Show what to cite for WHAT, as BibTeX.

    WHAT is the name of a plugin, such as vteam or devices.vteam, a results folder, or the file of a
    study, of crossbars or of a device. Without WHAT, memcore itself is cited. Entries hold what the
    documentation of a plugin says of its source.
    """
    from memcore.report.citations import Plugin, named, of_plugins

    plugins: list[Plugin] = []
    for each in what:
        if Path(each).suffix == ".toml" or Path(each).is_dir():
            from memcore.study.cited import cited

            plugins += cited(each)
        else:
            plugins += named(each)
    click.echo(str(of_plugins(plugins)))
