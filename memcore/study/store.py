"""The results folder: the finished points, and whether they belong to this study."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memcore.errors import StudyError
from memcore.study.config import Study
from memcore.study.files import digest_json, write_json
from memcore.study.results import Results, Row
from memcore.study.sweeps import Point, points

LOG: Final = logging.getLogger("memcore.study")
FORMAT: Final = 1
RESOLVED: Final = "study.resolved.json"
BASELINE: Final = "baseline"
#: What may change without changing a figure of the table.
_COSMETIC: Final = {
    "study": {"name", "title", "note", "batch"},
    "sweep": {"title", "note"},
    "axis": {"label", "unit", "scale"},
}


@dataclass(frozen=True)
class Subject:
    """What all points of a study share; results are comparable only if it is equal.

    Attributes:
        identity: hash of the study and of the plugins and versions behind it.
        model: hash of the trained weights.
        data: hash of the images and labels.
    """

    identity: str
    model: str
    data: str


class Store:
    """The files of one study under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.points = folder / "points"

    def claim(self, record: Mapping[str, Any], *, fresh: bool) -> None:
        """Write the resolved study, unless the folder holds another one.

        Args:
            record: content of `study.resolved.json`.
            fresh: whether to discard the points of another study instead of refusing.

        Raises:
            StudyError: another study is there; says what differs and what to do.
        """
        path = self.folder / RESOLVED
        there = _read(path)
        if there is None and path.exists():
            LOG.warning("%s is torn or foreign; writing it again", path.name)
        if there is not None and there.get("identity") != record["identity"] and not fresh:
            raise StudyError(self._conflict(there, record))
        if fresh:
            for file in [*self.points.glob("*.json"), *self._outputs()]:
                file.unlink(missing_ok=True)
        self.points.mkdir(parents=True, exist_ok=True)
        write_json(path, record)

    def baseline(self, subject: Subject) -> tuple[int, int] | None:
        """Right answers and samples of the digital network, if they are known."""
        content = self._finished(BASELINE, _fingerprint(subject, BASELINE, {}))
        return None if content is None else (content["correct"][0], content["samples"])

    def row(self, point: Point, subject: Subject) -> Row | None:
        """The row of a point if it is finished; reports why a file does not count."""
        content = self._finished(point.name, _fingerprint(subject, point.name, point.crossbar))
        if content is None:
            return None
        return Row(
            point.sweep, point.index, point.setting, tuple(content["correct"]), content["samples"]
        )

    def write_baseline(self, correct: int, samples: int, subject: Subject) -> None:
        """Write the result of the digital network, with the hashes of its weights and data."""
        more = {"model": subject.model, "data": subject.data}
        self._write(BASELINE, _fingerprint(subject, BASELINE, {}), [correct], samples, more)

    def write_row(self, row: Row, point: Point, subject: Subject) -> None:
        """Write a finished point."""
        fingerprint = _fingerprint(subject, point.name, point.crossbar)
        more = {"sweep": row.sweep, "setting": row.setting}
        self._write(point.name, fingerprint, list(row.correct), row.samples, more)

    def report_strangers(self, expected: Sequence[Point]) -> None:
        """Name the point files that belong to no point of the study."""
        names = {BASELINE, *(point.name for point in expected)}
        for file in sorted(self.points.glob("*.json")):
            if file.stem not in names:
                LOG.warning("points/%s is no point of this study; left out", file.name)

    def _write(
        self, name: str, fingerprint: str, correct: list[int], samples: int, more: dict[str, Any]
    ) -> None:
        content = {"format": FORMAT, "fingerprint": fingerprint, **more}
        content |= {"samples": samples, "correct": correct}
        write_json(self.points / f"{name}.json", content)

    def _finished(self, name: str, fingerprint: str) -> dict[str, Any] | None:
        path = self.points / f"{name}.json"
        if not path.exists():
            return None
        content = _read(path)
        if content is None or not _is_finished(content):
            LOG.warning("points/%s is torn or foreign; evaluating it again", path.name)
            return None
        if content["fingerprint"] != fingerprint:
            LOG.warning(
                "points/%s belongs to another study, network or data set; evaluating it again",
                path.name,
            )
            return None
        return content

    def _outputs(self) -> list[Path]:
        return [self.folder / name for name in ("results.csv", "plot.png", RESOLVED)]

    def _conflict(self, there: Mapping[str, Any], record: Mapping[str, Any]) -> str:
        old, new = (
            _flat(_compared(holder["study"], holder["versions"], holder["plugins"]))
            for holder in (there, record)
        )
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        lines = [f"'{self.folder}' holds another study:"]
        lines += [
            f"  {key}: {old.get(key, 'absent')} there, {new.get(key, 'absent')} now"
            for key in keys[:12]
        ]
        if len(keys) > 12:
            lines.append(f"  ... and {len(keys) - 12} more differences")
        lines.append("choose another folder (--out), or start over in this one (--fresh)")
        return "\n".join(lines)


def resolved(
    study: Study,
    versions: Mapping[str, str],
    plugins: Sequence[Mapping[str, Any]],
    crossbars: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of `study.resolved.json`: all that the figures depend on.

    `crossbars` has the full configuration of each sweep's first point, every default written out;
    `identity` is a hash of all that the figures depend on: the study without its words, the
    versions of memcore and torch, and the plugins' versions and code.
    """
    identity = digest_json(_compared(study.resolved(), versions, plugins))
    return {
        "format": FORMAT,
        "identity": identity,
        "versions": dict(versions),
        "plugins": [dict(plugin) for plugin in plugins],
        "study": study.resolved(),
        "crossbars": dict(crossbars),
    }


def _compared(
    study: Mapping[str, Any], versions: Mapping[str, str], plugins: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    sweeps = {}
    for sweep in study["sweep"]:
        content = _without(sweep, "sweep")
        content["axes"] = {name: _without(axis, "axis") for name, axis in sweep["axes"].items()}
        sweeps[content.pop("name")] = content
    return {
        **{**study, "study": _without(study["study"], "study"), "sweep": sweeps},
        "versions": dict(versions),
        "plugins": {
            f"{plugin['kind']}.{plugin['name']}": {
                key: plugin[key] for key in ("distribution", "version", "code")
            }
            for plugin in plugins
        },
    }


def _without(content: Mapping[str, Any], section: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in _COSMETIC[section]}


def load(folder: str | Path) -> Results:
    """Read a results folder back, finished or not.

    Args:
        folder: results folder, as given to `run` by `out`.

    Returns:
        The results; iterating over them gives the rows.

    Raises:
        StudyError: there is no study in the folder, or its baseline is not known yet.
    """
    store = Store(Path(folder))
    record = _read(store.folder / RESOLVED)
    if record is None:
        raise StudyError(f"'{folder}' holds no study: {RESOLVED} is missing or torn")
    study = Study.model_validate(record["study"])
    noted = _read(store.points / f"{BASELINE}.json") or {}
    subject = Subject(record["identity"], noted.get("model", ""), noted.get("data", ""))
    baseline = store.baseline(subject)
    if baseline is None:
        raise StudyError(f"the study in '{folder}' has no results yet: run it")
    rows = [store.row(point, subject) for point in points(study)]
    return collect(study, rows, baseline, store.folder)


def collect(
    study: Study, rows: Sequence[Row | None], baseline: tuple[int, int], folder: Path
) -> Results:
    """Collect the finished points; `rows` has None for each other point."""
    finished = tuple(row for row in rows if row is not None)
    correct, samples = baseline
    complete = len(finished) == len(rows)
    return Results(study, correct / samples, samples, finished, complete, folder)


def _fingerprint(subject: Subject, name: str, crossbar: Mapping[str, Any]) -> str:
    return digest_json([subject.identity, subject.model, subject.data, name, crossbar])


def _is_finished(content: Mapping[str, Any]) -> bool:
    correct, samples = content.get("correct"), content.get("samples")
    return (
        content.get("format") == FORMAT
        and isinstance(content.get("fingerprint"), str)
        and isinstance(samples, int)
        and isinstance(correct, list)
        and bool(correct)
        and all(isinstance(count, int) and 0 <= count <= samples for count in correct)
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _flat(content: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        return {path: content}
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{path}.{key}".lstrip("."))
    return flat
