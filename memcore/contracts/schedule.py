"""`list_schedule`: when tasks that share resources begin and end, as a `Timeline`."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memcore import _check
from memcore._text import hint, shown
from memcore.errors import ArgumentTypeError, ConfigError


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something that takes time on a resource.

    Args:
        stage: name of the stage it belongs to, for the timeline.
        item: number of the input or batch it works on.
        duration: time it takes, in s or in cycles.
        resource: name of the resource that it occupies; "" for none.
        after: indices of the tasks that must have ended before.
    """

    stage: str
    duration: float
    item: int = 0
    resource: str = ""
    after: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stage that works on an item from `start` to `end`."""

    stage: str
    start: float
    end: float
    item: int = 0


@dataclass(frozen=True)
class Timeline:
    """Which stage works when.

    Args:
        spans: in the order of the tasks.
    """

    spans: tuple[Span, ...] = ()

    @property
    def end(self) -> float:
        """When the last stage ends."""
        return max((span.end for span in self.spans), default=0.0)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages in the order in which they first appear."""
        return tuple(dict.fromkeys(span.stage for span in self.spans))

    def ends(self) -> dict[str, float]:
        """When each stage is done with its last item."""
        last: dict[str, float] = {}
        for span in self.spans:
            last[span.stage] = max(span.end, last.get(span.stage, 0.0))
        return last


def list_schedule(tasks: Sequence[Task], resources: Mapping[str, int]) -> Timeline:
    """Begin each task as soon as its predecessors ended and its resource is free.

    Of tasks that could begin at the same time, the first in the given order does.

    Args:
        tasks: each names its predecessors by their indices.
        resources: how many tasks each resource takes at once.

    Raises:
        ConfigError: a task needs a resource or predecessor that does not exist, or waits for
            itself.

    Examples:
        >>> tasks = [memcore.Task(stage=s, resource=s, duration=1) for s in ("a", "a", "b")]
        >>> memcore.list_schedule(tasks, {"a": 1, "b": 1}).end
        2.0
    """
    _require_possible(tasks, resources)
    run = _Run(tasks, dict(resources))
    while run.running:
        run.advance()
    if len(run.spans) < len(tasks):
        stuck = next(index for index in range(len(tasks)) if index not in run.spans)
        raise ConfigError(f"task {stuck} waits for itself; expected predecessors without a circle")
    return Timeline(tuple(run.spans[index] for index in range(len(tasks))))


class _Run:
    """Tasks that run, that could, and that wait for others."""

    def __init__(self, tasks: Sequence[Task], free: dict[str, int]) -> None:
        self.spans: dict[int, Span] = {}
        self.running: list[tuple[float, int]] = []  #: heap of ends and tasks
        self._tasks, self._free = tasks, free
        self._missing = [len(set(task.after)) for task in tasks]
        self._followers: list[list[int]] = [[] for _ in tasks]
        for index, task in enumerate(tasks):
            for before in set(task.after):
                self._followers[before].append(index)
        self._queues: dict[str, list[int]] = {name: [] for name in ("", *free)}
        for index, count in enumerate(self._missing):
            if not count:
                heapq.heappush(self._queues[tasks[index].resource], index)
        for name in self._queues:
            self._begin(name, 0.0)

    def advance(self) -> None:
        """Go on to when the next tasks end, and begin what can begin then."""
        now, touched = self.running[0][0], {""}
        while self.running and self.running[0][0] == now:
            index = heapq.heappop(self.running)[1]
            name = self._tasks[index].resource
            if name:
                self._free[name] += 1
                touched.add(name)
            for follower in self._followers[index]:
                self._missing[follower] -= 1
                if not self._missing[follower]:
                    other = self._tasks[follower].resource
                    heapq.heappush(self._queues[other], follower)
                    touched.add(other)
        for name in touched:
            self._begin(name, now)

    def _begin(self, name: str, now: float) -> None:
        queue = self._queues[name]
        while queue and (not name or self._free[name] > 0):
            index = heapq.heappop(queue)
            task = self._tasks[index]
            if name:
                self._free[name] -= 1
            end = now + task.duration
            self.spans[index] = Span(stage=task.stage, item=task.item, start=now, end=end)
            heapq.heappush(self.running, (end, index))


def _require_possible(tasks: Sequence[Task], resources: Mapping[str, int]) -> None:
    if not isinstance(resources, Mapping):
        raise ArgumentTypeError(
            f"resources={shown(resources)}; expected a mapping from names to numbers of places"
        )
    if not isinstance(tasks, list | tuple):
        raise ArgumentTypeError(f"tasks={shown(tasks)}; expected a list of memcore.Task")
    for index, task in enumerate(tasks):
        if not isinstance(task, Task):
            raise ArgumentTypeError(f"task {index} is {shown(task)}; expected a memcore.Task")
        if task.resource and resources.get(task.resource, 0) < 1:
            raise ConfigError(
                f"task {index} needs {task.resource!r}, of which there is none"
                f"{hint(task.resource, resources)}"
            )
        if any(not 0 <= before < len(tasks) for before in task.after):
            raise ConfigError(
                f"task {index} comes after {task.after}; expected indices of the {len(tasks)} tasks"
            )
        _check.number(f"duration of task {index}", task.duration, at_least=0)
