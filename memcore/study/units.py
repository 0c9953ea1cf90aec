"""Results of single units, a file each, until the points that they belong to are complete."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from memcore.study.config import General
from memcore.study.files import digest_json, remove, writing
from memcore.study.metrics import Score
from memcore.study.sealed import read_sealed, scores_of, values_of, write_sealed
from memcore.study.stopping import needed
from memcore.study.store import Subject, of_point
from memcore.study.sweeps import Point

UNITS: Final = "units"


class Units:
    """The unit files of one results folder: `units/POINT/CHIP.json`.

    They are not synced to the disk one by one: if the machine itself stops, some of the last may be
    torn, which their checksum shows, and are evaluated again.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / UNITS

    def begin(self) -> None:
        """Make room for results."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def write(
        self, point: Point, chip: int, subject: Subject, score: Score, mark: str = ""
    ) -> bool:
        """Write a result, unless the study is finished; returns whether it was written."""
        if not self.folder.is_dir():
            return False
        more = {"sweep": point.sweep, "setting": point.setting, "chip": chip}
        fingerprint = _fingerprint(of_point(subject, point), chip)
        values = {**more, **values_of([score])}
        write_sealed(self._file(point, chip), fingerprint, values, mark=mark, sync=False)
        return True

    def read(
        self, point: Point, subject: Subject, chips: Sequence[int], *, quiet: bool = False
    ) -> dict[int, Score]:
        """The results of a point that are there, by chip."""
        if not (self.folder / point.name).is_dir():
            return {}
        of, found = of_point(subject, point), {}
        for chip in chips:
            content = read_sealed(self._file(point, chip), _fingerprint(of, chip), 1, quiet=quiet)
            if content is not None:
                found[chip] = scores_of(content)[0]
        return found

    def known(
        self, point: Point, subject: Subject, general: General, *, quiet: bool = False
    ) -> tuple[dict[int, Score], int]:
        """The results of a point that are there, and how many chips it needs as far as is known."""
        first = self.read(point, subject, range(general.chips), quiet=quiet)
        if len(first) < general.chips:
            return first, general.chips
        count = needed([first[chip].value for chip in range(general.chips)], general)
        more = self.read(point, subject, range(general.chips, count), quiet=quiet)
        return first | more, count

    def forget(self, name: str) -> None:
        """Remove the files of a point, which is complete."""
        folder = self.folder / name
        with writing(folder):
            for file in sorted(folder.iterdir()) if folder.is_dir() else []:
                remove(file)
        _remove_empty(folder)

    def end(self) -> None:
        """Remove everything: the study is finished, or begins anew."""
        with writing(self.folder):
            for entry in sorted(self.folder.iterdir()) if self.folder.is_dir() else []:
                self.forget(entry.name) if entry.is_dir() else remove(entry)
        _remove_empty(self.folder)

    def _file(self, point: Point, chip: int) -> Path:
        return self.folder / point.name / f"{chip:04d}.json"


def _remove_empty(folder: Path) -> None:
    """Remove a folder, unless something came back: a late result, or what NFS keeps for readers."""
    with suppress(OSError):
        folder.rmdir()


def _fingerprint(of: str, chip: int) -> str:
    return digest_json([of, chip])
