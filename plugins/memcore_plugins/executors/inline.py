"""One unit after the other, in the process of the run itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from memcore import Executor


@dataclass(frozen=True, kw_only=True)
class Inline(Executor):
    """One unit after the other in the process of the run, with all threads of torch."""

    def evaluate(self, work: Any, units: Iterable[Any]) -> Iterator[Any]:
        yield from map(work, units)
