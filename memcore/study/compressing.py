"""Making the network of a study smaller before it is written: the table `[compress]`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from memcore.compression.compress import compress
from memcore.crossbar.config import CrossbarConfig
from memcore.errors import MemcoreError, StudyError
from memcore.random import Stream
from memcore.registry.specs import plain, plugin
from memcore.study import checkpoints
from memcore.study.data import Dataset
from memcore.study.files import digest_json
from memcore.study.in_place import shuffled
from memcore.study.layered import Arrays
from memcore.study.metrics import Loss
from memcore.study.training import Real, Whole

Pass = Annotated[str | dict[str, Any], BeforeValidator(plain)]


class Compression(BaseModel):
    """The table `[compress]`: the digital network is made smaller for the crossbars of a point.

    What a point loses is still told against the network that was not compressed.

    Attributes:
        passes: passes in their order: names of `memcore.compressions` or `{ name, parameters }`.
        distil: share of the loss that asks for the outputs of the network before.
        lr: learning rate of Adam in the passes that train.
        batch: number of samples in a step.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    passes: tuple[Pass, ...] = Field(min_length=1)
    distil: Real = Field(default=0.0, ge=0, le=1)
    lr: Real = Field(default=1e-3, gt=0)
    batch: Whole = Field(default=64, ge=1)


def compression(settings: Mapping[str, Any] | None, what: str) -> Compression | None:
    """Check the settings of a compression, if there are any.

    Raises:
        StudyError: one does not fit, or a pass does not exist; `what` names the place.
    """
    if settings is None:
        return None
    try:
        recipe = Compression.model_validate(dict(settings))
        for spec in recipe.passes:
            plugin("compressions", spec)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise StudyError(
            f"{what}: compress.{place} = {problem['input']!r}: {problem['msg'][:1].lower()}"
            f"{problem['msg'][1:]}"
        ) from None
    except MemcoreError as error:
        raise StudyError(f"{what}: compress.passes: {error}") from error
    return recipe


class Smaller:
    """Networks that were compressed for points of a study; the last ones are kept.

    Args:
        dataset: data set, of which only the training split is used.
        seed: random seed of the order of the samples.
        device: torch device to compute on.
        loss: what is made small, of outputs, targets and label smoothing.
    """

    _MOST = 2  #: the chips of a point come one after the other

    def __init__(self, dataset: Dataset, seed: int, device: torch.device, loss: Loss) -> None:
        self._dataset, self._seed, self._device, self._loss = dataset, seed, device, loss
        self._known: dict[str, nn.Module] = {}

    def of(self, model: nn.Module, config: Arrays, recipe: Compression | None) -> nn.Module:
        """The network compressed for crossbars, in evaluation mode; `model` without a recipe.

        The same network comes out in every process: the order of the samples follows from the seed,
        and sums are made by one thread.

        Raises:
            StudyError: layers have crossbars of their own, or a pass cannot follow the network.
        """
        if recipe is None:
            return model
        if not isinstance(config, CrossbarConfig):
            raise StudyError(
                "[compress] fits a network to one kind of crossbars, but [crossbar] has tables for "
                "layers; expected settings for all layers alike"
            )
        content = [checkpoints.digest(model), config.to_mapping(), recipe.model_dump(mode="json")]
        key = digest_json(content)
        if key not in self._known:
            while len(self._known) >= self._MOST:
                self._known.pop(next(iter(self._known)))
            self._known[key] = self._compressed(model, config, recipe)
        return self._known[key]

    def _compressed(
        self, model: nn.Module, config: CrossbarConfig, recipe: Compression
    ) -> nn.Module:
        with _one_thread(), torch.random.fork_rng():
            torch.manual_seed(Stream(self._seed).key_of("compress"))
            smaller, _ = compress(
                model,
                config,
                recipe.passes,
                _Epochs(self._dataset, recipe.batch, self._seed, self._device),
                loss=partial(_without_smoothing, self._loss),
                optimizer=partial(torch.optim.Adam, lr=recipe.lr),
                distil=recipe.distil,
            )
        return smaller.eval()


class _Epochs:
    """Batches of the training split, in another order each time they are read."""

    def __init__(self, dataset: Dataset, batch: int, seed: int, device: torch.device) -> None:
        self._dataset, self._batch, self._seed, self._device = dataset, batch, seed, device
        self._epoch = 0

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        for images, labels in shuffled(self._dataset, self._batch, self._seed, epoch):
            yield self._dataset.prepare(images.to(self._device)), labels.to(self._device)


def _without_smoothing(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    return loss(outputs, targets, 0.0)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in an order that does not depend on how many threads a process has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
