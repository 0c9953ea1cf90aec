"""The results folder: the finished points, and whether they belong to this study."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memcore.errors import StudyError
from memcore.study.config import General, Study
from memcore.study.costs import COSTS
from memcore.study.files import (
    digest_json,
    read_json,
    remove,
    require_places,
    write_json,
    writing,
)
from memcore.study.metrics import Score
from memcore.study.record import checked, conflict, has_more_chips
from memcore.study.results import Results, Row
from memcore.study.sealed import read_sealed, scores_of, values_of, write_sealed
from memcore.study.stopping import needed
from memcore.study.sweeps import Point

LOG: Final = logging.getLogger("memcore.study")
RESOLVED: Final = "study.resolved.json"
BASELINE: Final = "baseline"
CHECKPOINT: Final = "model.safetensors"
SNAPSHOT: Final = "training.snapshot"
OUTPUTS: Final = ("results.csv", "plot.png", COSTS)


@dataclass(frozen=True)
class Subject:
    """What all points of a study share; results are comparable only if it is equal.

    Attributes:
        identity: hash of the study and of the plugins, the code and the versions behind it.
        model: hash of the trained weights.
        data: hash of the images and labels.
    """

    identity: str
    model: str
    data: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """All three."""
        return self.identity, self.model, self.data


class Store:
    """The files of one study under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.points = folder / "points"

    def claim(
        self, record: Mapping[str, Any], expected: Sequence[Point], *, fresh: bool
    ) -> dict[str, Any] | None:
        """Write the resolved study, unless the folder holds another one.

        One that differs in that it has fewer chips is returned, and stays what the folder holds.

        Args:
            record: content of `study.resolved.json`.
            expected: points of the study.
            fresh: whether to discard the points of another study instead of refusing.

        Raises:
            StudyError: another study is there, or something that is in the way of a file; says
                what differs and what to do.
        """
        path = self.folder / RESOLVED
        there = checked(read_json(path))
        names = [BASELINE, *(point.name for point in expected)]
        places = [self.folder / name for name in (RESOLVED, CHECKPOINT, SNAPSHOT, *OUTPUTS)]
        require_places([*places, *(self._file(name) for name in names)])
        if there is None and path.exists():
            LOG.warning("%s is torn or foreign; writing it again", path.name)
        is_other = there is not None and there["identity"] != record["identity"]
        if there is not None and is_other and not fresh:
            if not has_more_chips(there, record):
                raise StudyError(conflict(self.folder, there, record))
            return there
        if fresh:
            for file in [*self._kept(), *(self.folder / name for name in (*OUTPUTS, RESOLVED))]:
                remove(file)
        with writing(self.points):
            self.points.mkdir(parents=True, exist_ok=True)
        self.resolve(record)
        return None

    def resolve(self, record: Mapping[str, Any]) -> None:
        """Write the resolved study."""
        write_json(self.folder / RESOLVED, record)

    def drop(self, names: Sequence[str]) -> None:
        """Remove the files of points."""
        for name in names:
            remove(self._file(name))

    def baseline(self, subject: Subject) -> Score | None:
        """What the digital network achieves, if it is known."""
        content = read_sealed(self._file(BASELINE), _fingerprint(subject, BASELINE, {}), 1)
        return None if content is None else scores_of(content)[0]

    def row(
        self, point: Point, subject: Subject, general: General, *, quiet: bool = False
    ) -> Row | None:
        """The row of a point if it is finished; reports why a file does not count."""
        scores = self.scores(point, subject, general, quiet=quiet)
        return None if scores is None else row_of(point, scores, general)

    def scores(
        self, point: Point, subject: Subject, general: General, *, quiet: bool = False
    ) -> list[Score] | None:
        """The scores of the chips of a point if it is finished."""

        def count(scores: list[Score]) -> int:
            first = [score.value for score in scores[: general.chips]]
            return needed(first, general) if len(first) == general.chips else general.chips

        of = of_point(subject, point)
        content = read_sealed(self._file(point.name), of, count, quiet=quiet)
        return None if content is None else scores_of(content)

    def write_baseline(self, score: Score, subject: Subject) -> None:
        """Write the result of the digital network, with the hashes of its weights and data."""
        more = {"model": subject.model, "data": subject.data}
        fingerprint = _fingerprint(subject, BASELINE, {})
        write_sealed(self._file(BASELINE), fingerprint, {**more, **values_of([score])})

    def write_row(self, row: Row, point: Point, subject: Subject) -> None:
        """Write a finished point."""
        values = {"scores": list(row.scores)} if row.scores else {"correct": list(row.correct)}
        more = {"sweep": row.sweep, "setting": row.setting, "samples": row.samples}
        write_sealed(self._file(point.name), of_point(subject, point), {**more, **values})

    def report_strangers(self, expected: Sequence[Point]) -> None:
        """Name the point files that belong to no point of the study."""
        names = {BASELINE, *(point.name for point in expected)}
        for file in self._kept():
            if file.stem not in names:
                LOG.warning("points/%s is no point of this study; left out", file.name)

    def _kept(self) -> list[Path]:
        with writing(self.points):
            return sorted(self.points.glob("*.json"))

    def _file(self, name: str) -> Path:
        return self.points / f"{name}.json"


def record_of(folder: Path) -> dict[str, Any]:
    """What a results folder says of its study: `study.resolved.json`.

    Raises:
        StudyError: there is no study in the folder.
    """
    record = checked(read_json(folder / RESOLVED))
    if record is None:
        raise StudyError(
            f"'{folder}' holds no study: {RESOLVED} is missing, torn or foreign; expected a folder "
            "that memcore run has written"
        )
    return record


def gathered(study: Study, rows: Sequence[Row | None], baseline: Score, folder: Path) -> Results:
    """The results of the finished points; `rows` has None for each other point."""
    finished = tuple(row for row in rows if row is not None)
    complete = len(finished) == len(rows)
    return Results(study, baseline.value, baseline.samples, finished, complete, folder)


def row_of(point: Point, scores: Sequence[Score], general: General) -> Row:
    """The row of a point from the scores of its chips, in their order."""
    right = tuple(score.right for score in scores if score.right is not None)
    values = () if right else tuple(score.value for score in scores)
    first = 0 if general.interval is None else general.chips
    return Row(point.sweep, point.index, point.setting, right, scores[0].samples, values, first)


def of_point(subject: Subject, point: Point) -> str:
    """What the file of a point says that it belongs to."""
    lived = point.life.model_dump(exclude_defaults=True)
    setting = {"crossbar": point.crossbar, "life": lived}
    if point.in_place is not None:
        setting["in_place"] = point.in_place.model_dump(mode="json")
    if point.compress is not None:
        setting["compress"] = point.compress.model_dump(mode="json")
    return _fingerprint(subject, point.name, setting)


def _fingerprint(subject: Subject, name: str, setting: Mapping[str, Any]) -> str:
    return digest_json([subject.identity, subject.model, subject.data, name, setting])
