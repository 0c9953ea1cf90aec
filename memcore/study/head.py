"""The part of a run that is done once: the claim of the folder, the network, the baseline."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memcore.errors import NotFiniteError, StudyError
from memcore.study import checkpoints, data, metrics, models
from memcore.study.compressing import Smaller
from memcore.study.config import Study
from memcore.study.costs import require_models
from memcore.study.data import Dataset
from memcore.study.evaluation import judged
from memcore.study.growing import Grown
from memcore.study.layered import each
from memcore.study.life import warn_if_nothing_passes
from memcore.study.locks import Locks
from memcore.study.metrics import Metric, Score
from memcore.study.network import Networks
from memcore.study.placement import placed
from memcore.study.planning import Described, described
from memcore.study.progress import Progress
from memcore.study.store import Store, Subject
from memcore.study.units import Units
from memcore.study.work import Bench, Plan


@dataclass(frozen=True)
class Head:
    """A study that was checked and whose data are loaded.

    Attributes:
        content: study in detail, with a complete recipe.
        record: content of `study.resolved.json`.
        dataset: data set.
        metric: metric, which accepts the targets.
        device: torch device to compute on.
    """

    content: Described
    record: Mapping[str, Any]
    dataset: Dataset
    metric: Metric
    device: torch.device

    @classmethod
    def of(cls, study: Study) -> "Head":
        """Check a study, before there is work to lose.

        Raises:
            StudyError: something does not fit.
        """
        content = described(study)
        _warn_of_vain_waiting(content)
        general = study.study
        require_models(general)
        device = placed(general.device)
        dataset = data.dataset(general.data, study.folder)
        metric = metrics.metric(general.metric, study.folder)
        metric.require(dataset.test.labels)
        recipe = study.train.over(dataset.augment, models.RECIPES.get(general.model["name"], {}))
        content = replace(content, study=study.model_copy(update={"train": recipe}))
        return cls(content, content.record(), dataset, metric, device)

    def claim(
        self, folder: Path, locks: Locks, progress: Progress, *, fresh: bool
    ) -> tuple[Plan, Score]:
        """Claim the folder; returns what is to be done, and what the digital network achieves.

        Raises:
            StudyError: the folder holds another study, or cannot be written.
        """
        store, content = Store(folder), self.content
        locks.join(alone=fresh)
        with locks.claiming():
            smaller = store.claim(self.record, content.points, fresh=fresh)
            if fresh:
                Units(folder).end()
            locks.join(alone=smaller is not None)
            store.report_strangers(content.points)
            networks = Networks(content.study, folder, self.device)
            model = networks.made(self.dataset, self.metric, content.configs, progress)
            subject = Subject(
                self.record["identity"],
                checkpoints.digest(model),
                checkpoints.digest_dataset(self.dataset),
            )
            if smaller is not None:
                self._go_on(Grown(store, smaller, subject, content.points), store)
                locks.join()
            baseline = store.baseline(subject) or self._baseline(model, store, subject)
        seed = content.study.study.seed
        compressing = Smaller(self.dataset, seed, self.device, self.metric.loss)
        bench = Bench(model, self.dataset, self.metric, content, compressing)
        return Plan(subject, content.study, folder.absolute(), bench), baseline

    def _go_on(self, grown: Grown, store: Store) -> None:
        """Take the chips of a smaller study over, in an order that may be stopped anywhere."""
        grown.take_units()
        store.resolve(self.record)
        grown.take_baseline()

    def _baseline(self, model: nn.Module, store: Store, subject: Subject) -> Score:
        general = self.content.study.study
        test = self.dataset.test.head(general.samples)
        try:
            score = judged(model, self.dataset, test, general, self.metric)
        except NotFiniteError as error:  # no point has a value then
            raise StudyError(f"the digital network: {error}") from error
        store.write_baseline(score, subject)
        return score


def _warn_of_vain_waiting(content: Described) -> None:
    for sweep in content.study.sweep:
        pairs = zip(content.points, content.configs, strict=True)
        mine = [
            (point, config)
            for point, config in pairs
            if point.sweep == sweep.name and point.in_place is None  # which counts pulses and time
        ]
        warn_if_nothing_passes(
            f"sweep '{sweep.name}'",
            [point.life for point, _ in mine],
            [entry for _, config in mine for entry in each(config)],
        )
