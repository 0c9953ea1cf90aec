"""Jobs that Slurm has forgotten: what its accounting would tell, where there is none."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Final

#: Looks at the jobs between two at the queue, which is a question to Slurm's controller.
_RARELY: Final = 5
#: Looks at the queue in a row that miss a job before it counts as lost: its result may be late on
#: a shared disk.
_OFTEN: Final = 3
_PATIENCE: Final = 30.0  # seconds that an answer may take


class Queue:
    """The queue of Slurm, as `squeue` tells it.

    submitit learns from Slurm's accounting how a job ended, and on a cluster without accounting
    waits for a lost job forever. A job that is in the queue no more and has left no result is lost.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = _RARELY * seconds
        self.next = time.monotonic() + self.seconds
        self.missed: Counter[Any] = Counter()

    def lost(self, jobs: Iterable[Any]) -> list[Any]:
        """Those of the jobs that left the queue some looks ago."""
        if time.monotonic() < self.next:
            return []
        self.next = time.monotonic() + self.seconds
        known = queued()
        if known is None:
            return []
        gone = [job for job in jobs if job.job_id not in known]
        self.missed = Counter({job: self.missed[job] + 1 for job in gone})
        return [job for job in gone if self.missed[job] >= _OFTEN]


def queued() -> Collection[str] | None:
    """The jobs of this user that wait or run, as `12` or `12_3`; None if Slurm does not answer."""
    try:
        done = subprocess.run(
            ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return set(done.stdout.split())
