"""`Executor`: the contract of what spreads the units of a study over processes and machines."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from queue import SimpleQueue
from typing import Any, ClassVar, Protocol

from memcore.contracts.contract import Contract, hookspec
from memcore.errors import StudyError

Work = Callable[[Any], Any]


class Pool(Protocol):
    """What offers `concurrent.futures`: `submit` returns a `concurrent.futures.Future`."""

    def submit(self, fn: Work, /, *args: Any) -> "Future[Any]":
        """Begin with `fn(*args)`."""

    def shutdown(self, wait: bool = ..., *, cancel_futures: bool = ...) -> None:
        """End, without what has not begun yet."""


class Executor(Contract):
    """Where the units of a study are evaluated: one chip at one point each.

    A unit is independent of all others, and evaluating one again gives the same result, so an
    executor may take them in any order, on any machine, and try one again whose worker died.
    """

    kind = "executors"

    @hookspec
    def check(self) -> None:
        """Raise what would keep it from working, such as a missing package, before any work."""

    @hookspec
    @abstractmethod
    def evaluate(self, work: Work, units: Iterable[Any]) -> Iterator[Any]:
        """Evaluate all units, and yield each result as soon as it is there, in any order.

        Units are to be taken from `units` when there is room for them, not all at once: another
        run in the same folder gets those that are not taken yet. An error of a unit is raised after
        the results of the units that had begun. Closing the iterator stops the work.

        Args:
            work: function of one unit; it and the units can be pickled.
            units: units to evaluate.
        """


class PoolExecutor(Executor):
    """An executor on top of `concurrent.futures`: a subclass says how to make a pool of workers.

    A pool that breaks, because a worker of it died, is replaced by a fresh one.
    """

    #: How many pools may break one after the other without a single result.
    attempts: ClassVar[int] = 5

    @abstractmethod
    def pool(self) -> tuple[Pool, int]:
        """A fresh pool, and how many units it should have at once."""

    def evaluate(self, work: Work, units: Iterable[Any]) -> Iterator[Any]:
        todo = _Todo(units)
        while True:
            pool, room = self.pool()
            try:
                yield from _drained(pool, room, work, todo)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
            if todo.broken is None:
                return
            todo.begin_again(self.attempts)


class _Todo:
    """Units that wait, that run, and that were lost with their workers."""

    def __init__(self, units: Iterable[Any]) -> None:
        self.units = iter(units)
        self.again: list[Any] = []
        self.running: dict[Future[Any], Any] = {}
        self.broken: BrokenExecutor | None = None
        self.in_vain = 0  # pools without a result

    def next(self) -> tuple[Any, ...]:
        """The next unit, alone in a tuple; an empty one when none is left."""
        if self.again:
            return (self.again.pop(),)
        return next(((unit,) for unit in self.units), ())

    def lose(self, unit: Any, error: BrokenExecutor) -> None:
        """Note a unit whose pool broke."""
        self.again.append(unit)
        self.broken = error

    def begin_again(self, attempts: int) -> None:
        """Go on in a fresh pool.

        Raises:
            StudyError: too many broke in vain.
        """
        self.in_vain += 1
        if self.in_vain >= attempts:
            raise StudyError(
                f"workers died {attempts} times before any of them finished a unit "
                f"({self.broken}), at last {self.again[-1]}; expected workers that live: look at "
                "the memory that each needs, and use fewer of them"
            ) from self.broken
        self.broken = None


def _drained(pool: Pool, room: int, work: Work, todo: _Todo) -> Iterator[Any]:
    """The results of one pool, until all is done, a unit fails or the pool breaks."""
    done: SimpleQueue[Future[Any]] = SimpleQueue()
    failed: Exception | None = None
    while True:
        while failed is None and todo.broken is None and len(todo.running) < room:
            unit = todo.next()
            if not unit or not _begun(pool, work, unit[0], todo, done.put):
                break
        if not todo.running:
            break
        future = done.get()
        unit = (todo.running.pop(future),)
        try:
            result = future.result()
        except BrokenExecutor as error:
            todo.lose(unit[0], error)
        except Exception as error:
            failed = failed or error
        else:
            todo.in_vain = 0
            yield result
    if failed is not None:
        raise failed


def _begun(
    pool: Pool, work: Work, unit: Any, todo: _Todo, then: Callable[["Future[Any]"], None]
) -> bool:
    try:
        future = pool.submit(work, unit)
    except BrokenExecutor as error:
        todo.lose(unit, error)
        return False
    todo.running[future] = unit
    future.add_done_callback(then)
    return True
