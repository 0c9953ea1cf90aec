"""Training the chips of a study in place: the table `[in_place]`."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from memcore.contracts.update import Pair
from memcore.errors import MemcoreError, StudyError
from memcore.optim.in_situ import InSitu, Order
from memcore.random import Stream
from memcore.registry.specs import plain, plugin
from memcore.study.data import Dataset
from memcore.study.metrics import Loss, default_loss
from memcore.study.training import Real, Whole, forward

Rule = Annotated[str | dict[str, Any], BeforeValidator(plain)]


class InPlace(BaseModel):
    """The table `[in_place]`: every chip is trained on its own cells before it is judged.

    Attributes:
        rule: update rule: a name of `memcore.updates` or `{ name, parameters }`.
        lr: learning rate, also that of parameters that are on no cells.
        epochs: number of passes over the training set.
        batch: number of samples in a step; what is left over for one is left out of an epoch.
        order: how the pulses of a batch are applied: "grouped", "exact" or "net".
        pair: which cells of a weight take pulses: "reference", "push_pull" or "one_sided"; the rule
            and the mapper decide when absent.
        headroom: how much larger than its largest weight a matrix may become.
        start: weights that a chip begins with: "initial" ones of its own, which were never trained,
            or those of the digital network, "trained".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Rule = "sgd_pulsed"
    lr: Real = Field(default=0.1, gt=0)
    epochs: Whole = Field(default=5, ge=0)
    batch: Whole = Field(default=32, ge=1)
    order: Literal["grouped", "exact", "net"] = "grouped"
    pair: Literal["reference", "push_pull", "one_sided"] | None = None
    headroom: Real = Field(default=2.0, ge=1)
    start: Literal["initial", "trained"] = "initial"


def in_place(settings: Mapping[str, Any] | None, what: str) -> InPlace | None:
    """Check the settings of a training in place, if there are any.

    Raises:
        StudyError: one does not fit, or the rule does not exist; `what` names the place.
    """
    if settings is None:
        return None
    try:
        recipe = InPlace.model_validate(dict(settings))
        plugin("updates", recipe.rule)
    except ValidationError as error:
        (key, *_), problem = error.errors()[0]["loc"], error.errors()[0]
        raise StudyError(
            f"{what}: in_place.{key} = {problem['input']!r}: {problem['msg'][:1].lower()}"
            f"{problem['msg'][1:]}"
        ) from None
    except MemcoreError as error:
        raise StudyError(f"{what}: in_place.rule: {error}") from error
    return recipe


def train_in_place(
    network: nn.Module,
    dataset: Dataset,
    recipe: InPlace,
    seed: int,
    device: str = "cpu",
    loss: Loss = default_loss,
) -> InSitu:
    """Train a chip on its own cells; the network is released and in evaluation mode behind it.

    Args:
        network: converted network; changed in place.
        dataset: data set, of which only the training split is used.
        recipe: how it is trained.
        seed: random seed of the order of the samples.
        device: torch device of the network.
        loss: what is made small, of outputs, targets and label smoothing.

    Returns:
        The optimiser, whose `report()` has pulses, energy and time.

    Raises:
        ConfigError: the rule, a device or a mapping does not fit.
        StudyError: the outputs have no loss for these targets.
    """
    order: Order = recipe.order
    pair: Pair | None = recipe.pair
    network.train()
    optimizer = InSitu(
        network,
        rule=recipe.rule,
        lr=recipe.lr,
        order=order,
        pair=pair,
        headroom=recipe.headroom,
    )
    for epoch in range(recipe.epochs):
        for images, labels in shuffled(dataset, recipe.batch, seed, epoch):
            optimizer.zero_grad()
            outputs = forward(network, dataset, images, torch.device(device))
            _loss_of(loss, outputs, labels.to(outputs.device)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    optimizer.release()
    network.eval()
    return optimizer


def shuffled(
    dataset: Dataset, batch: int, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels of the training split in batches, in the order that an epoch draws.

    What is left over for a batch is left out: the mean gradient of a few samples is a large one,
    and pulses of large gradients pull cells far.
    """
    draws = Stream(seed).child("in place", epoch).uniform((len(dataset.train),))
    whole = len(draws) - len(draws) % batch or len(draws)
    for chosen in torch.split(draws.argsort()[:whole], batch):
        yield dataset.train.images[chosen], dataset.train.labels[chosen]


def _loss_of(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    try:
        return loss(outputs, targets, 0.0)
    except (RuntimeError, ValueError, LookupError) as error:
        raise StudyError(
            f"outputs of shape {list(outputs.shape)} have no loss for targets of shape "
            f"{list(targets.shape)}: {error}; expected an output for each class or number"
        ) from error
