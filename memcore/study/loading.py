"""Reading a results folder back, whatever state it is in."""

from dataclasses import dataclass
from pathlib import Path

from memcore.errors import StudyError
from memcore.study.config import Study
from memcore.study.costs import with_known_prices
from memcore.study.files import read_json
from memcore.study.metrics import Score
from memcore.study.results import Results, Row
from memcore.study.store import BASELINE, Store, Subject, gathered, record_of, row_of
from memcore.study.sweeps import Point, points
from memcore.study.units import Units


@dataclass(frozen=True)
class Folder:
    """A results folder that holds a study.

    Attributes:
        store: files of the folder.
        study: study.
        points: points of the study.
        subject: hashes of the study, the weights and the data.
    """

    store: Store
    study: Study
    points: tuple[Point, ...]
    subject: Subject

    @classmethod
    def at(cls, folder: str | Path) -> "Folder":
        """Read what a folder says about itself.

        Raises:
            StudyError: there is no study in it.
        """
        if not isinstance(folder, str | Path):
            raise StudyError(f"a results folder is {folder!r}; expected a path")
        store = Store(Path(folder))
        record = record_of(store.folder)
        study = Study.model_validate(record["study"])
        noted = read_json(store.points / f"{BASELINE}.json")
        noted = noted if isinstance(noted, dict) else {}
        subject = Subject(record["identity"], noted.get("model", ""), noted.get("data", ""))
        return cls(store, study, tuple(points(study)), subject)

    @property
    def baseline(self) -> Score:
        """What the digital network achieves.

        Raises:
            StudyError: it is not known yet.
        """
        score = self.store.baseline(self.subject)
        if score is None:
            raise StudyError(f"the study in '{self.store.folder}' has no results yet: run it")
        return score

    def row(self, point: Point) -> Row | None:
        """The row of a point if all of its units are known."""
        general = self.study.study
        row = self.store.row(point, self.subject, general)
        if row is not None:
            return row
        scores, count = Units(self.store.folder).known(point, self.subject, general)
        if len(scores) < count:
            return None
        return row_of(point, [scores[chip] for chip in range(count)], general)

    def results(self, baseline: Score) -> Results:
        """The results of the points whose units are all known."""
        rows = [self.row(point) for point in self.points]
        results = gathered(self.study, rows, baseline, self.store.folder)
        return with_known_prices(results, self.subject.parts, self.points)


def load(folder: str | Path) -> Results:
    """Read a results folder back, finished or not.

    Args:
        folder: results folder, as given to `run` by `out`.

    Returns:
        The results; iterating over them gives the rows.

    Raises:
        StudyError: there is no study in the folder, or its baseline is not known yet.
    """
    there = Folder.at(folder)
    return there.results(there.baseline)
