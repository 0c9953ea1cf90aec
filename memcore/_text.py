"""How messages and tables are worded: hints, aligned columns, packages that are missing."""

import difflib
import importlib
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType

from memcore.errors import MissingPackageError


def nearest(word: str, words: Iterable[str], most: int = 1) -> list[str]:
    """The words that were probably meant, the likeliest first; empty if nothing is close."""
    return difflib.get_close_matches(word, list(words), n=most)


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """What to append to an error about an unknown word: the nearest one, nothing if none is."""
    return "".join(f"; did you mean {close!r}?" for close in nearest(word, words))


def hint(word: str, words: Iterable[str]) -> str:
    """What to append to an error about an unknown word: the nearest one, or all there are."""
    every = list(words)
    return did_you_mean(word, every) or f"; there are {', '.join(every) or 'none'}"


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
