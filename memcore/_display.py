"""What shows objects in notebooks; the top of the package fills it, no contract looks up."""

from collections.abc import Callable
from typing import Any, Final

#: From an object to its HTML, by the kind of the object.
DISPLAYS: Final[dict[str, Callable[[Any], str]]] = {}
