"""What a search has tried: settings with their quality and their cost, and the best of them."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcore._text import aligned, scaled
from memcore.study.metrics import Kind
from memcore.study.prices import FIGURES, front
from memcore.study.results import shown


@dataclass(frozen=True)
class Trial:
    """A setting that was tried.

    Attributes:
        setting: value of each axis.
        mean: mean of the metric over the chips, of an accuracy in [0, 1].
        interval: half of its 95 % interval; None for a single chip.
        cost: what an inference costs there, in SI units; None without a cost model.
        failed: why a chip has no finite value there, where `mean` is NaN; empty where all have.
    """

    setting: dict[str, Any]
    mean: float
    interval: float | None
    cost: float | None
    failed: str = ""


@dataclass(frozen=True, eq=False)
class Search:
    """What a search has found; `str()` lists the best settings.

    Attributes:
        trials: settings in the order in which they were tried, those that failed too.
        baseline: value of the digital network.
        kind: how values of the metric are told.
        against: figure of the cost, "energy", "time" or "area"; empty without a cost model.
        folder: folder of the search.
    """

    trials: tuple[Trial, ...]
    baseline: float
    kind: Kind
    against: str
    folder: Path

    @property
    def failed(self) -> tuple[Trial, ...]:
        """The trials that have no finite value, none of which is the best or on the front."""
        return tuple(trial for trial in self.trials if trial.failed)

    @property
    def best(self) -> Trial:
        """The trial with the best mean."""
        return max(self._judged, key=self._quality)

    @property
    def _judged(self) -> list[Trial]:
        return [trial for trial in self.trials if not trial.failed]

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that no other beats, from cheap to good; the best one without costs.

        A setting that was tried again is there once.
        """
        if not self.against:
            return (self.best,)
        tried = list({str(trial.setting): trial for trial in reversed(self._judged)}.values())
        pairs = [(trial.cost or 0.0, self._quality(trial)) for trial in tried]
        on = (trial for trial, kept in zip(tried, front(pairs), strict=True) if kept)
        return tuple(sorted(on, key=lambda trial: (trial.cost or 0.0, self._quality(trial))))

    @property
    def csv(self) -> Path:
        """The file of all trials."""
        return self.folder / "search.csv"

    @property
    def text(self) -> str:
        """The CSV of all trials, those on the front marked."""
        file, on = io.StringIO(), {id(trial) for trial in self.front}
        writer = csv.writer(file, lineterminator="\n")
        cost = [f"{self.against}_{FIGURES[self.against]}"] if self.against else []
        writer.writerow([*self.trials[0].setting, "mean", "ci95", *cost, "front"])
        for trial in self.trials:
            half = "" if trial.interval is None else f"{trial.interval:.6g}"
            price = [] if trial.cost is None else [f"{trial.cost:.6g}"]
            price = price or [""] * len(cost)
            mean = "" if trial.failed else f"{trial.mean:.6g}"
            row = [*trial.setting.values(), mean, half, *price]
            writer.writerow([*row, int(id(trial) in on)])
        return file.getvalue()

    def _quality(self, trial: Trial) -> float:
        return -trial.mean if self.kind.smaller_is_better else trial.mean

    def __str__(self) -> str:
        names = list(self.trials[0].setting)
        heads = [*names, self.kind.label, "± 95 %", *([self.against] if self.against else [])]
        rows = [[*map(shown, t.setting.values()), *self._figures(t)] for t in self.front]
        what = f"the front of {self.kind.label} and {self.against}" if self.against else "the best"
        told = f"{what} of {len(self.trials)} settings; digital {self._shown(self.baseline)}"
        lost = (
            f"{len(self.failed)} failed, the first one: {self.failed[0].failed}"
            if self.failed
            else ""
        )
        return "\n".join([told, *aligned([heads, *rows], str.rjust, "   "), *filter(None, [lost])])

    def _figures(self, trial: Trial) -> Iterator[str]:
        yield self._shown(trial.mean)
        yield "" if trial.interval is None else self._shown(trial.interval)
        if trial.cost is not None:
            yield scaled(trial.cost, FIGURES[self.against])

    def _shown(self, value: float) -> str:
        return f"{100 * value:.2f} %" if self.kind.is_share else f"{value:.4g}"
