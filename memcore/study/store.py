"""The results folder: the finished points, and whether they belong to this study."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memcore.errors import StudyError
from memcore.study.config import Study
from memcore.study.costs import COSTS, with_known_prices
from memcore.study.files import (
    digest_json,
    read_json,
    remove,
    require_places,
    write_json,
    writing,
)
from memcore.study.metrics import Score
from memcore.study.record import FORMAT, checked, conflict
from memcore.study.results import Results, Row
from memcore.study.sweeps import Point, points

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

    def claim(self, record: Mapping[str, Any], expected: Sequence[Point], *, fresh: bool) -> None:
        """Write the resolved study, unless the folder holds another one.

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
        if there is not None and there["identity"] != record["identity"] and not fresh:
            raise StudyError(conflict(self.folder, there, record))
        if fresh:
            for file in [*self._kept(), *(self.folder / name for name in (*OUTPUTS, RESOLVED))]:
                remove(file)
        with writing(self.points):
            self.points.mkdir(parents=True, exist_ok=True)
        write_json(path, record)

    def baseline(self, subject: Subject) -> Score | None:
        """What the digital network achieves, if it is known."""
        content = self._finished(BASELINE, _fingerprint(subject, BASELINE, {}), 1)
        if content is None:
            return None
        samples = content["samples"]
        if "scores" in content:
            return Score(content["scores"][0], samples)
        return Score(content["correct"][0] / samples, samples, content["correct"][0])

    def row(self, point: Point, subject: Subject, chips: int) -> Row | None:
        """The row of a point if it is finished; reports why a file does not count."""
        content = self._finished(point.name, _of_point(subject, point), chips)
        if content is None:
            return None
        return Row(
            point.sweep,
            point.index,
            point.setting,
            tuple(content.get("correct", ())),
            content["samples"],
            tuple(content.get("scores", ())),
        )

    def write_baseline(self, score: Score, subject: Subject) -> None:
        """Write the result of the digital network, with the hashes of its weights and data."""
        values: dict[str, Any] = {"scores": [score.value]}
        if score.right is not None:
            values = {"correct": [score.right]}
        more = {"model": subject.model, "data": subject.data, "samples": score.samples}
        self._write(BASELINE, _fingerprint(subject, BASELINE, {}), {**more, **values})

    def write_row(self, row: Row, point: Point, subject: Subject) -> None:
        """Write a finished point."""
        values = {"scores": list(row.scores)} if row.scores else {"correct": list(row.correct)}
        more = {"sweep": row.sweep, "setting": row.setting, "samples": row.samples}
        self._write(point.name, _of_point(subject, point), {**more, **values})

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

    def _write(self, name: str, fingerprint: str, values: Mapping[str, Any]) -> None:
        content = {"format": FORMAT, "fingerprint": fingerprint, **values}
        write_json(self._file(name), {**content, "checksum": digest_json(content)})

    def _finished(self, name: str, fingerprint: str, chips: int) -> dict[str, Any] | None:
        path = self._file(name)
        if not path.exists():
            return None
        content = read_json(path)
        if not isinstance(content, dict) or not _is_finished(content):
            LOG.warning("points/%s is torn or foreign; evaluating it again", path.name)
            return None
        if content["fingerprint"] != fingerprint:
            LOG.warning(
                "points/%s belongs to another study, network or data set; evaluating it again",
                path.name,
            )
            return None
        sealed = {key: value for key, value in content.items() if key != "checksum"}
        if content.get("checksum") != digest_json(sealed) or len(_values(content)) != chips:
            LOG.warning("points/%s is not as it was written; evaluating it again", path.name)
            return None
        return content


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


def load(folder: str | Path) -> Results:
    """Read a results folder back, finished or not.

    Args:
        folder: results folder, as given to `run` by `out`.

    Returns:
        The results; iterating over them gives the rows.

    Raises:
        StudyError: there is no study in the folder, or its baseline is not known yet.
    """
    if not isinstance(folder, str | Path):
        raise StudyError(f"a results folder is {folder!r}; expected a path")
    store = Store(Path(folder))
    record = record_of(store.folder)
    study = Study.model_validate(record["study"])
    noted = read_json(store.points / f"{BASELINE}.json")
    noted = noted if isinstance(noted, dict) else {}
    subject = Subject(record["identity"], noted.get("model", ""), noted.get("data", ""))
    baseline = store.baseline(subject)
    if baseline is None:
        raise StudyError(f"the study in '{folder}' has no results yet: run it")
    todo = points(study)
    rows = [store.row(point, subject, study.study.chips) for point in todo]
    results = collect(study, rows, baseline, store.folder)
    return with_known_prices(results, subject.parts, todo)


def collect(study: Study, rows: Sequence[Row | None], baseline: Score, folder: Path) -> Results:
    """Collect the finished points; `rows` has None for each other point."""
    finished = tuple(row for row in rows if row is not None)
    complete = len(finished) == len(rows)
    return Results(study, baseline.value, baseline.samples, finished, complete, folder)


def _of_point(subject: Subject, point: Point) -> str:
    lived = point.life.model_dump(exclude_defaults=True)
    return _fingerprint(subject, point.name, {"crossbar": point.crossbar, "life": lived})


def _fingerprint(subject: Subject, name: str, setting: Mapping[str, Any]) -> str:
    return digest_json([subject.identity, subject.model, subject.data, name, setting])


def _is_finished(content: Mapping[str, Any]) -> bool:
    samples, values = content.get("samples"), _values(content)
    return (
        content.get("format") == FORMAT
        and isinstance(content.get("fingerprint"), str)
        and type(samples) is int
        and samples > 0
        and bool(values)
        and all(_is_value(value, content, samples) for value in values)
    )


def _values(content: Mapping[str, Any]) -> list[Any]:
    values = content.get("scores", content.get("correct"))
    return values if isinstance(values, list) else []


def _is_value(value: Any, content: Mapping[str, Any], samples: int) -> bool:
    if "scores" in content:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is int and 0 <= value <= samples
