"""Timing for the bench scripts: alternatives take turns, so that they see the same machine."""

import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median

import torch


def interleaved(
    work: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 1.5,
    least: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the median time of each alternative in seconds; all of them run in every round.

    Args:
        work: the alternatives.
        seconds: how long to run at least.
        least: rounds to run at least.
        clock: what tells the time of an alternative, `time.thread_time` on a busy machine say.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for run in work.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < least:
        for name, run in work.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: median(values) for name, values in times.items()}


def thread_counts() -> Iterator[int]:
    """Set and yield one thread, then all that torch would use."""
    default = torch.get_num_threads()
    for threads in sorted({1, default}):
        torch.set_num_threads(threads)
        yield threads
    torch.set_num_threads(default)
