"""`Lock`: one thread at a time where the state of arrays changes."""

import threading
from types import TracebackType


class Lock:
    """A lock that the same thread may take again; a copy of a module has one of its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def __deepcopy__(self, memo: object) -> "Lock":
        del memo
        return Lock()

    def __reduce__(self) -> tuple[type["Lock"], tuple[()]]:
        return Lock, ()
