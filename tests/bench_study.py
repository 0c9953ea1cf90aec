"""What a study costs beside its chips: python tests/bench_study.py [UNITS] [EXECUTOR].

Evaluates units that do nothing, and prints the processor time of each step in the run itself,
without its workers: that hardly depends on what else a machine does.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from memcore import study
from memcore.study import finishing, work
from memcore.study.metrics import Score

CHIPS = 500


def content(units: int) -> dict[str, Any]:
    return {
        "study": {"name": "empty", "checkpoint": "digits_vgg", "samples": 1, "chips": CHIPS},
        "crossbar": {"device": "ideal", "nonidealities": [{"name": "d2d", "std": 0.1}]},
        "sweep": [
            {
                "name": "empty",
                "axes": {"nonidealities.d2d.std": [k / units for k in range(units // CHIPS)]},
            }
        ],
    }


def nothing(*_: Any) -> Score:
    return Score(0.5, 100, 50)


class Clock:
    """Processor and wall time of steps."""

    def __init__(self) -> None:
        self.at = (time.process_time(), time.perf_counter())

    def lap(self, words: str, units: int) -> None:
        now = (time.process_time(), time.perf_counter())
        cpu, wall = (b - a for a, b in zip(self.at, now, strict=True))
        self.at = now
        print(f"{words:38} {cpu:8.2f} s  {1e6 * cpu / units:8.1f} us a unit  (wall {wall:.1f} s)")


def main(units: int, executor: str) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(work, "evaluate_chip", nothing),
        mock.patch.object(finishing, "plot"),
    ):
        out, clock = Path(folder) / "out", Clock()
        plan = study.plan(content(units), out)
        clock.lap("plan", units)
        # Forks, unlike fresh processes, know of units that do nothing.
        spread = {"name": "processes", "start": "fork"} if executor == "processes" else executor
        study.run(content(units), out, executor=spread, shard="1/1")
        clock.lap(f"evaluate, {executor}", units)
        files = list((out / "units").glob("*/*.json"))
        print(f"{len(files)} files of {sum(f.stat().st_size for f in files) / len(files):.0f} B")
        clock.lap("list the files", units)
        study.status(out)
        clock.lap("status", units)
        study.run(content(units), out, shard="1/1")
        clock.lap("begin again, all units known", units)
        study.collect(out)
        clock.lap("collect", units)
        study.load(out)
        clock.lap("load", units)
        print(f"{sum(1 for f in out.rglob('*'))} files in the end")
        print(f"memory of the run {psutil.Process().memory_info().rss / 1e6:.0f} MB; {plan}")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(int(words[0]) if words else 50_000, words[1] if len(words) > 1 else "inline")
