"""How far a search is, for a person who waits."""

import sys
import time
from typing import Final

import click

_SOON: Final = 2.0  #: seconds before progress is shown


class Shown:
    """Shows on one line of a terminal how far a search is, once it takes long."""

    def __init__(self) -> None:
        self.begin, self.width = time.monotonic(), 0

    def __call__(self, text: str) -> None:
        if sys.stderr.isatty() and time.monotonic() - self.begin > _SOON:
            click.echo(f"\r{text.ljust(self.width)}", err=True, nl=False)
            self.width = len(text)

    def end(self) -> None:
        """Clear the line."""
        if self.width:
            click.echo(f"\r{' ' * self.width}\r", err=True, nl=False)
