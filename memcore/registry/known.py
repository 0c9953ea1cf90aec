"""Plugins known to be on the package index: an unknown name is answered with the command.

Kind, then name, then distribution. Add a line when a plugin is published.
"""

from typing import Final

KNOWN: Final[dict[str, dict[str, str]]] = {}
