"""Text files of numbers: one way in which all exports write them."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from memcore._text import shown
from memcore.errors import ConfigError


def csv_path(path: object) -> Path:
    """A path that ends in .csv.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(path, str | Path) or Path(path).suffix.lower() != ".csv":
        came = path if isinstance(path, str) else str(path) if isinstance(path, Path) else path
        raise ConfigError(f"path={shown(came)}; expected a name that ends in .csv")
    return Path(path)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Say in words why a file cannot be written.

    Raises:
        ConfigError: the system refuses.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"'{target}' cannot be written: {error.strerror}; expected a folder that exists and "
            "can be written"
        ) from None


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write rows under headings, numbers with all their digits; a file that is there is replaced.

    Raises:
        ConfigError: the name does not end in .csv, or nothing can be written there.
    """
    target = csv_path(path)
    with writing(target), target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    return target
