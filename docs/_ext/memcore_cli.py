"""Renders the help of every command of the command line: `memcore-cli`."""

from collections.abc import Iterator
from typing import Any

import click


def render() -> str:
    """Every command as MyST, with the text that `--help` prints."""
    from memcore.cli.main import main

    return "\n".join(_command(main, "memcore", 2))


def commands(group: click.Command, path: str = "memcore") -> Iterator[str]:
    """The commands as one types them, `memcore run`."""
    yield path
    if isinstance(group, click.Group):
        for name, command in sorted(group.commands.items()):
            yield from commands(command, f"{path} {name}")


def _command(command: click.Command, path: str, level: int) -> Iterator[str]:
    names = ["-h", "--help"]  # of the whole program
    with click.Context(
        command, info_name=path, max_content_width=88, help_option_names=names
    ) as context:
        help_text = command.get_help(context)
    yield from (f"{'#' * level} `{path}`", "", "```text", help_text, "```", "")
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            if not child.hidden:
                yield from _command(child, f"{path} {name}", level)


def setup(app: Any) -> dict[str, Any]:
    """Add the directive."""
    from sphinx.util.docutils import SphinxDirective

    class CommandLineDirective(SphinxDirective):
        """`memcore-cli` without arguments."""

        def run(self) -> list[Any]:
            self.env.note_reread()  # its content is not in the page
            return self.parse_text_to_nodes(render(), allow_section_headings=True)

    app.add_directive("memcore-cli", CommandLineDirective)
    return {"version": "1", "parallel_read_safe": True}
