"""Who works at what in a results folder: locks that the system lets go of when a process ends.

No clock and no name of a machine is involved. On a disk that machines share, the locks are as good
as its locks on parts of files are.
"""

import errno
import logging
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from memcore.errors import StudyError
from memcore.study.files import writing

if sys.platform != "win32":  # there, two runs in one folder are not kept apart
    import fcntl

LOG: Final = logging.getLogger("memcore.study")
_LOOK: Final = 0.05  # seconds between two tries
_CLAIM, _WORK, _UNITS = 0, 1, 16  # bytes of the file that stand for something
_TAKEN: Final = (errno.EACCES, errno.EAGAIN)
_FORM: Final = "hhqqi4x"  # of a lock of Linux: kind, where from, first byte, length, process


class Locks:
    """The locks of one run in a folder; a context that ends with all of them open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = -1

    def __enter__(self) -> "Locks":
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        return self

    def __exit__(self, *_: Any) -> None:
        self._give(0, length=0)  # closing alone leaves them to processes forked in the meantime
        os.close(self._file)

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Be the only run that claims the folder, waiting for others to be done with that."""
        if not self._take(_CLAIM):
            LOG.info("another run prepares or finishes '%s'; waiting for it", self.folder)
            while not self._take(_CLAIM):
                time.sleep(_LOOK)
        try:
            yield
        finally:
            self._give(_CLAIM)

    def join(self, *, alone: bool = False) -> None:
        """Be one of the runs that work in the folder, until the end of the context.

        Args:
            alone: whether there must be no other one, until this is called again without it.

        Raises:
            StudyError: this one must be alone, and there is another one.
        """
        while not self._take(_WORK, shared=not alone):
            if alone:
                raise StudyError(
                    f"another run is working in '{self.folder}'; wait for it or choose another "
                    "--out"
                )
            time.sleep(_LOOK)

    def take(self, unit: int) -> bool:
        """Take a unit, unless another run has it."""
        return self._take(_UNITS + unit)

    def give(self, unit: int) -> None:
        """Let go of a unit."""
        self._give(_UNITS + unit)

    def _take(self, byte: int, *, shared: bool = False) -> bool:
        if sys.platform == "win32":
            return True
        try:
            _lock(self._file, fcntl.F_RDLCK if shared else fcntl.F_WRLCK, byte)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise StudyError(
                f"'{self.folder}' cannot be locked: {error.strerror}; expected a folder on a disk "
                "that knows locks: choose another --out"
            ) from error
        return True

    def _give(self, byte: int, *, length: int = 1) -> None:
        if sys.platform != "win32":
            with suppress(OSError):
                _lock(self._file, fcntl.F_UNLCK, byte, length=length)


def is_worked_in(folder: Path) -> bool:
    """Whether a run works in a folder; nothing is written, and no lock is taken where it counts."""
    if sys.platform == "win32":
        return False
    try:
        file = os.open(folder / ".lock", os.O_RDONLY if sys.platform == "linux" else os.O_RDWR)
    except OSError:  # none ever worked there, or this user may not look
        return False
    try:
        return _is_locked(file, _WORK)
    except OSError:
        return False
    finally:
        os.close(file)


def _is_locked(file: int, byte: int) -> bool:
    locked = False
    if sys.platform == "linux":
        asked = struct.pack(_FORM, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        told = struct.unpack(_FORM, fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))
        locked = bool(told[0] != fcntl.F_UNLCK)
    elif sys.platform != "win32":  # what is taken here goes with the file
        try:
            _lock(file, fcntl.F_WRLCK, byte)
        except OSError as error:
            locked = error.errno in _TAKEN
    return locked


def _lock(file: int, kind: int, byte: int, *, length: int = 1) -> None:
    """Set a lock on bytes: of the open file where the system has such, else of the process.

    A length of 0 stands for all bytes from the first one on.
    """
    if sys.platform == "linux":
        wanted = struct.pack(_FORM, kind, os.SEEK_SET, byte, length, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
    elif sys.platform != "win32":
        plain = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX}
        flags = plain[kind] | fcntl.LOCK_NB if kind in plain else fcntl.LOCK_UN
        fcntl.lockf(file, flags, length, byte, os.SEEK_SET)
