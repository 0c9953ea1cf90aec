"""How messages and tables are worded: hints, aligned columns, packages that are missing."""

import importlib
import math
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Final

from memcore.errors import MissingPackageError

_LONGEST: Final = 80  #: characters of a value that a message shows
#: What other simulators call what has another name here, whose nearest word is something else.
_ELSEWHERE: Final = {"noise_management": "dac_per"}


def nearest(word: object, words: Iterable[str], most: int = 1) -> list[str]:
    """The words that were probably meant, the likeliest first; empty if nothing is close."""
    if not isinstance(word, str):
        return []
    from difflib import get_close_matches  # which only a mistake pays for

    return get_close_matches(word, list(words), n=most)


def did_you_mean(word: object, words: Iterable[str]) -> str:
    """What to append to an error about an unknown word: the nearest one, nothing if none is."""
    return "".join(f"; did you mean {close!r}?" for close in nearest(word, words))


def hint(word: object, words: Iterable[str]) -> str:
    """What to append to an error about an unknown word: the nearest one, or all there are."""
    every = list(words)
    own = _ELSEWHERE.get(word) if isinstance(word, str) else None
    if own in every:
        return f", which is called {own!r} here"
    return did_you_mean(word, every) or f"; there are {', '.join(every) or 'none'}"


def printable(text: object) -> str:
    """A text that controls no terminal: what cannot be printed, line ends aside, is escaped."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(text))


def shown(value: object) -> str:
    """A value as a message shows it: short, whatever it is."""
    try:
        text = printable(repr(value))
    except Exception:  # an integer of thousands of digits, or an object that cannot be shown
        text = f"a {type(value).__name__}"
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def aligned(
    rows: Sequence[Sequence[str]],
    justify: Callable[[str, int], str] = str.ljust,
    between: str = "  ",
) -> list[str]:
    """Rows of cells as lines with columns as wide as needed, `str.rjust` for numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        between.join(justify(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def scaled(value: float, unit: str) -> str:
    """A quantity with a prefix of the SI: 1.2e-9 J is "1.2 nJ", 3e-8 m^2 "0.03 mm^2"."""
    if unit == "m^2":
        prefix, factor = ("mm", 1e-6) if value >= 1e-8 else ("um", 1e-12)
        return f"{value / factor:.4g} {prefix}^2"
    power = 0 if not value else min(0, max(-18, 3 * math.floor(math.log10(abs(value)) / 3)))
    prefix = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: ""}[power]
    return f"{value / 10.0**power:.4g} {prefix}{unit}"


def install(extra: str) -> str:
    """The command that installs the packages of one of memcore's extras."""
    return f"pip install 'memcore[{extra}]'"


def needed(module: str, purpose: str, extra: str = "study") -> ModuleType:
    """Import a package that only some parts of memcore need.

    Args:
        module: name of the module to import.
        purpose: the part of memcore that needs it, as the beginning of a sentence.
        extra: the extra of memcore that installs it.

    Raises:
        MissingPackageError: it cannot be imported; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{purpose} needs {module.partition('.')[0]}, which is not usable here ({error}): "
            f"{install(extra)}"
        ) from error


def some(names: Sequence[str]) -> str:
    """The first few of some names of modules, and how many more there are."""
    shown = ", ".join(repr(name) if name else "the model" for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
