"""What a results folder says about the progress of its study, without taking part in it."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcore.study.files import read_json
from memcore.study.loading import Folder
from memcore.study.locks import is_worked_in
from memcore.study.progress import lasting
from memcore.study.store import BASELINE
from memcore.study.units import UNITS


@dataclass(frozen=True)
class Status:
    """How far a study is.

    Attributes:
        name: name of the study.
        points: number of points.
        finished: number of points of which every chip is known.
        chips: number of chips at all points together.
        known: number of those that are known.
        prepared: whether the network and its baseline are there.
        running: whether a run works in the folder.
        seconds_left: time left at the pace of the chips that are there; None if nothing tells.
    """

    name: str
    points: int
    finished: int
    chips: int
    known: int
    prepared: bool
    running: bool
    seconds_left: float | None

    def __str__(self) -> str:
        share = 100 * self.known / self.chips
        lines = [
            f"study {self.name}: {self.finished} of {self.points} points, {self.known} of "
            f"{self.chips} chips ({share:.0f} %)"
        ]
        if not self.prepared:
            lines.append("the network is not trained and judged yet")
        if self.running:
            left = "" if self.seconds_left is None else f", about {lasting(self.seconds_left)} left"
            lines.append(f"a run is working in the folder{left}")
        elif self.finished < self.points:
            lines.append("no run is working in the folder")
        return "\n".join(lines)


@dataclass(frozen=True)
class Finished:
    """A unit that is known.

    Attributes:
        point: name of its point.
        chip: number of its chip.
        setting: value of each axis.
        value: value of the metric.
    """

    point: str
    chip: int
    setting: dict[str, Any]
    value: float

    def __str__(self) -> str:
        setting = ", ".join(f"{axis} = {value}" for axis, value in self.setting.items())
        return f"{self.point} chip {self.chip}: {self.value:.6g}" + (setting and f"  ({setting})")


def status(folder: str | Path) -> Status:
    """How far the study in a folder is; files are counted, not read.

    Args:
        folder: results folder.

    Raises:
        StudyError: there is no study in the folder.
    """
    there = Folder.at(folder)
    chips, out = there.study.study.chips, there.store.folder
    whole = {file.stem for file in there.store.points.glob("*.json")}
    finished = [point.name for point in there.points if point.name in whole]
    names = {point.name for point in there.points}.difference(finished)
    files = [file for file in (out / UNITS).glob("*/*.json") if file.parent.name in names]
    of_each = Counter(file.parent.name for file in files)
    known = chips * len(finished) + len(files)
    tight = there.study.study.interval is not None  # then the rest is not known yet
    total = max(known, chips * len(there.points))
    return Status(
        there.study.study.name,
        len(there.points),
        len(finished) + (0 if tight else sum(count == chips for count in of_each.values())),
        total,
        known,
        BASELINE in whole,
        is_worked_in(out),
        _left(files, total - known),
    )


def unit_files(folder: str | Path, but: Collection[Path] = ()) -> list[Path]:
    """The files of the units that are known and not put together yet, the oldest first.

    Args:
        folder: results folder.
        but: files to leave out, which are not looked at.
    """
    files = [file for file in (Path(folder) / UNITS).glob("*/*.json") if file not in but]
    return [file for _, file in sorted((_time_of(file), file) for file in files)]


def finished(file: Path) -> Finished | None:
    """What the file of a unit says; None where it is gone, torn or foreign."""
    content = read_json(file)
    try:
        values = content.get("scores") or [content["correct"][0] / content["samples"]]
        chip, setting = int(content["chip"]), dict(content["setting"])
        return Finished(file.parent.name, chip, setting, float(values[0]))
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None


def _left(files: list[Path], missing: int) -> float | None:
    """The time that missing chips take at the pace of those that are there.

    Only differences of times count, all of them of the disk.
    """
    times = sorted(time for time in map(_time_of, files) if time)
    recent = times[-1000:]
    if len(recent) < 2 or recent[-1] <= recent[0]:
        return None
    return missing * (recent[-1] - recent[0]) / (len(recent) - 1)


def _time_of(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # put together in the meantime
        return 0.0
