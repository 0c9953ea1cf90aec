"""How far a search is, for a person who waits."""

import sys
import time
from typing import Final

import click

_SOON: Final = 2.0  #: seconds before progress is shown


class Shown:
    """Shows on one line of a terminal how far a search is, once it takes long.

    Args:
        quiet: whether to show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.begin, self.width, self.quiet = time.monotonic(), 0, quiet

    def __call__(self, text: str) -> None:
        if not self.quiet and sys.stderr.isatty() and time.monotonic() - self.begin > _SOON:
            click.echo(f"\r{text.ljust(self.width)}", err=True, nl=False)
            self.width = len(text)

    def close(self) -> None:
        """Clear the line."""
        if self.width:
            click.echo(f"\r{' ' * self.width}\r", err=True, nl=False)
