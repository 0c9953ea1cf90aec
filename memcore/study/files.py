"""Files that are whole or absent, whatever moment a run is stopped at."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from memcore.errors import StudyError


def write_atomic(path: Path, content: bytes, *, mark: str = "", sync: bool = True) -> None:
    """Write under a temporary name, sync to the disk, then rename.

    Args:
        path: file to write; its folder is made.
        content: all that it will hold.
        mark: part of the temporary name, where several processes may write one file at a time.
        sync: whether to wait for the disk, which matters only where the machine itself stops.

    Raises:
        StudyError: the file cannot be written; what stood there before is as it was.
    """
    temporary = path.with_name(f".{path.name}{mark}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        if sync:
            _sync_folder(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about a file or a folder into a message that names it."""
    try:
        yield
    except OSError as error:
        raise StudyError(
            f"'{path}' cannot be written: {error.strerror or error}; what was finished before is "
            "kept: mend this or choose another --out, and run the study again"
        ) from error


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with writing(path):
        path.unlink(missing_ok=True)


def require_places(paths: list[Path]) -> None:
    """Refuse files that could not be written in the end, before there is work to lose.

    Raises:
        StudyError: a folder, a pipe or the like stands where a file belongs.
    """
    for path in paths:
        with writing(path):
            in_the_way = path.exists() and not path.is_file()
        if in_the_way:
            raise StudyError(
                f"'{path}' is no regular file, but the study writes a file of this name; expected "
                "nothing there: move it away or choose another --out"
            )


def write_json(path: Path, content: Any, *, mark: str = "", sync: bool = True) -> None:
    """Write JSON that the same content always gives the same bytes of, as `write_atomic`."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, encoded(text), mark=mark, sync=sync)


def encoded(text: str) -> bytes:
    """UTF-8, in which halves of surrogate pairs are written out as JSON does it."""
    return text.encode("utf-8", "backslashreplace")


def read_json(path: Path) -> Any:
    """What a JSON file holds; None if it is none, or torn, or nested too deeply to be ours."""
    if not is_regular(path):
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def is_regular(path: Path) -> bool:
    """Whether a file can be read to its end: a pipe without a writer never ends."""
    try:
        return path.is_file()
    except OSError:  # for instance a name that is too long
        return False


def digest_json(content: Any) -> str:
    """A short hash of what JSON can hold; the order of keys does not matter."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
