"""The trained network of a study: given, kept from an earlier run, or trained now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memcore.errors import StudyError
from memcore.study import checkpoints, models, sources
from memcore.study.config import Study
from memcore.study.data import Dataset
from memcore.study.estimate import tell_training
from memcore.study.files import remove
from memcore.study.layered import Arrays, require_layers
from memcore.study.metrics import Metric
from memcore.study.progress import Progress
from memcore.study.store import CHECKPOINT, LOG, SNAPSHOT
from memcore.study.training import Training


@dataclass(frozen=True)
class Networks:
    """Makes the network of a study.

    Attributes:
        study: study, with a complete recipe.
        folder: results folder, which keeps the network that is trained.
        device: torch device to compute on.
    """

    study: Study
    folder: Path
    device: torch.device

    @property
    def checkpoint(self) -> Path:
        """The file of the weights."""
        given = self.study.study.checkpoint
        if given is not None:
            return checkpoints.located(given, self.study.folder)
        return self.folder / CHECKPOINT

    def blank(self, seed: int | None = None) -> nn.Module:
        """The network before its weights are loaded or trained, the same one for one seed.

        Args:
            seed: of the initial weights; None for that of the study.
        """
        with torch.random.fork_rng():  # initial weights come from torch's global seed
            torch.manual_seed(self.study.study.seed if seed is None else seed)
            return models.model(self.study.study.model, self.study.folder).to(self.device)

    def loaded(self) -> nn.Module:
        """The network with the weights of the checkpoint."""
        model = self.blank()
        checkpoints.load_weights(model, self.checkpoint)
        return model.eval()

    def made(
        self, dataset: Dataset, metric: Metric, configs: Iterable[Arrays], progress: Progress
    ) -> nn.Module:
        """The network, trained now if nothing fits that is there."""
        model = self.blank()
        for config in configs:
            require_layers(model, config)
        if self.study.study.checkpoint is not None:
            LOG.info("using the weights of %s", self.checkpoint)
            checkpoints.load_weights(model, self.checkpoint)
        else:
            self._train(model, dataset, metric, progress)
        return model.eval()

    def _train(
        self, model: nn.Module, dataset: Dataset, metric: Metric, progress: Progress
    ) -> None:
        general, recipe = self.study.study, self.study.train
        snapshot = self.folder / SNAPSHOT
        record = {
            "model": general.model,
            "data": checkpoints.digest_dataset(dataset),
            "seed": general.seed,
        }
        record |= {"recipe": recipe.model_dump(mode="json")}
        names = [general.model["name"], general.data["name"]]
        code = sources.code(names, self.study.folder)
        record |= {"code": code} if code else {}
        if self._kept(model, record):
            return remove(snapshot)
        LOG.info("training %s on %s", general.model["name"], general.data["name"])
        metric.require(dataset.train.labels)
        work = Training(dataset, recipe, general.seed, self.device, snapshot, metric.loss)
        tell_training(work, model)
        with progress.bar("training", recipe.epochs, unit="epoch") as advance:
            work.run(model, advance)
        checkpoints.save_checkpoint(model, self.checkpoint, record)
        return remove(snapshot)

    def _kept(self, model: nn.Module, record: Mapping[str, Any]) -> bool:
        """Whether the network of an earlier run is this one; its weights are then in `model`."""
        path = self.checkpoint
        if not path.exists():
            return False
        if checkpoints.checkpoint_record(path) != record:
            LOG.warning(
                "%s is torn or of another network, code or recipe; training again", path.name
            )
            return False
        try:
            checkpoints.load_weights(model, path)
        except StudyError as error:
            LOG.warning("%s; training again", error)
            return False
        LOG.info("using the network trained before, %s", path.name)
        return True
