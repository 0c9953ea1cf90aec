"""Processes on this machine."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawValue
from typing import Any, Final, Literal

from memcore import ConfigError, PoolExecutor, parameter

_LOOK: Final = 0.2  # seconds between two looks at the head


@dataclass(frozen=True, kw_only=True)
class Processes(PoolExecutor):
    """A process for every core, each with its share of the threads.

    A process that dies is replaced, and what it was at is begun again; a run that dies takes its
    processes along.
    """

    workers: int | None = parameter(
        None,
        "1",
        "number of processes; one for every core, or for every one of the devices, when absent",
        at_least=1,
    )
    threads: int | None = parameter(
        None, "1", "threads of each process; its share of the cores when absent", at_least=1
    )
    start: Literal["spawn", "fork"] = parameter(
        "spawn",
        "1",
        "how processes begin; fork is faster, and safe only in a program without other threads",
    )

    devices: tuple[str, ...] = parameter(
        (),
        "1",
        "torch devices that the processes take in turn, such as cuda:0 and cuda:1 for a study on "
        "cuda; that of the study for all when empty",
    )

    def check(self) -> None:
        import torch

        for device in self.devices:
            try:
                torch.device(device)
            except (RuntimeError, TypeError) as error:
                raise ConfigError(
                    f"devices has {device!r}: {str(error).splitlines()[0]}; expected names of "
                    "torch devices, such as cuda:0"
                ) from None

    def pool(self) -> tuple["_Workers", int]:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        workers = self.workers or len(self.devices) or cores or 1
        threads = self.threads or max(1, (cores or 1) // workers)
        return _Workers(workers, threads, self.start, self.devices), 2 * workers


class _Workers(ProcessPoolExecutor):
    def __init__(self, workers: int, threads: int, start: str, devices: Sequence[str]) -> None:
        context = multiprocessing.get_context(start)
        self.stop = RawValue("b", 0)
        turn = context.Value("i", 0)
        arguments = (threads, os.getpid(), self.stop, devices, turn)
        super().__init__(workers, context, _begin, arguments)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.stop.value = 1
        super().shutdown(wait, cancel_futures=cancel_futures)


def _begin(threads: int, head: int, stop: Any, devices: Sequence[str], turn: Any) -> None:
    """Make a worker ready: its threads, its device, and its end with that of the run."""
    if "torch" in sys.modules:  # of a fork
        sys.modules["torch"].set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if devices:
        os.environ["MEMCORE_DEVICE"] = _next(devices, turn)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run ends its workers itself
    threading.Thread(target=_end_with, args=(head, stop), daemon=True).start()


def _next(devices: Sequence[str], turn: Any) -> str:
    with turn.get_lock():
        mine: int = turn.value
        turn.value += 1
    return devices[mine % len(devices)]


def _end_with(head: int, stop: Any) -> None:
    while not stop.value and os.getppid() == head:
        time.sleep(_LOOK)
    os._exit(0)
