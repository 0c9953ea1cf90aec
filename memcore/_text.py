"""How messages and tables are worded: hints, aligned columns, packages that are missing."""

import difflib
from collections.abc import Iterable, Sequence


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant, None if nothing is close."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return close[0] if close else None


def hint(word: str, words: Iterable[str]) -> str:
    """What to append to an error about an unknown word: the nearest one, or all there are."""
    every = list(words)
    close = nearest(word, every)
    return f"; did you mean {close!r}?" if close else f"; there are {', '.join(every) or 'none'}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines with columns as wide as needed."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
