"""Training the network of a study."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
)
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from memcore.crossbar.config import CrossbarConfig
from memcore.errors import MemcoreError, StudyError
from memcore.nn.feeding import run
from memcore.random import Stream
from memcore.study import snapshots
from memcore.study.checkpoints import digest, digest_dataset
from memcore.study.data import Dataset, Split
from memcore.study.files import digest_json
from memcore.study.hardware import Hardware
from memcore.study.metrics import Loss, default_loss

#: Numbers in a study: "3" and true are none, and neither is infinity.
Whole = Annotated[int, Strict()]
Real = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]

LOG = logging.getLogger("memcore.study")


def _mapping(value: Any) -> Any:
    return value.to_mapping() if isinstance(value, CrossbarConfig) else value


class Recipe(BaseModel):
    """The table `[train]`: cross entropy, a one-cycle learning rate, small random shifts.

    What it does not say is as the data set and the packaged network have it: images of `digits`
    are shifted by up to one pixel, those of `cifar10` by up to four, and mirrored.

    Attributes:
        epochs: number of passes over the training set.
        lr: peak learning rate.
        batch: number of samples in a step.
        optimizer: optimizer: "adamw", or "sgd" with Nesterov momentum 0.9.
        weight_decay: weight decay, which is decoupled for adamw.
        label_smoothing: label smoothing of the cross entropy.
        shift: largest number of pixels by which images are shifted at random, filled up with zeros.
        flip: whether images are mirrored left to right at random.
        crossbar: crossbars that the network is trained through, in the table `[train.crossbar]`:
            those of `[crossbar]`, but for what this table says. Without it the digital network is
            trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: Whole = Field(default=20, ge=0)
    lr: Real = Field(default=1e-3, gt=0)
    batch: Whole = Field(default=128, ge=2)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: Real = Field(default=1e-2, ge=0)
    label_smoothing: Real = Field(default=0.0, ge=0, lt=1)
    shift: Whole = Field(default=0, ge=0)
    flip: Switch = False
    crossbar: Annotated[dict[str, Any] | None, BeforeValidator(_mapping)] = None

    @model_serializer(mode="wrap")
    def _serialized(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a crossbar that is not used, so that networks trained before are still known."""
        fields: dict[str, Any] = handler(self)
        return {k: v for k, v in fields.items() if k != "crossbar" or v is not None}

    def over(self, *defaults: Mapping[str, Any]) -> "Recipe":
        """This recipe, with `defaults` for what it does not say; later ones win."""
        merged: dict[str, Any] = {}
        for mapping in (*defaults, self.model_dump(exclude_unset=True)):
            merged.update(mapping)
        return Recipe(**merged)


def forward(model: nn.Module, dataset: Dataset, images: Tensor, device: torch.device) -> Tensor:
    """The outputs of a network for a batch of a data set.

    Raises:
        StudyError: the network or `prepare` fails on it, or the outputs are no tensor.
    """
    try:
        outputs = run(model, dataset.prepare(images.to(device)))
    except MemcoreError:
        raise
    except Exception as error:  # whatever a network of one's own raises
        raise StudyError(
            f"the network fails on images of shape {list(images.shape)} and {images.dtype}: "
            f"{type(error).__name__}: {error}; expected a network that takes what 'prepare' makes "
            "of them"
        ) from error
    if not isinstance(outputs, Tensor):
        raise StudyError(
            f"the network returns {type(outputs).__name__}; expected a tensor: wrap the network so "
            "that it returns the outputs to be judged"
        )
    if outputs.shape[:1] != images.shape[:1]:
        raise StudyError(
            f"the network returns shape {list(outputs.shape)} for {len(images)} images; expected "
            "an entry for each"
        )
    return outputs


@dataclass(frozen=True)
class Training:
    """One training; interrupted after any epoch and continued, it gives the same weights.

    Attributes:
        dataset: data set, of which only the training split is used.
        recipe: complete recipe.
        seed: random seed of the order of the samples, of the shifts and of dropout.
        device: torch device to compute on.
        snapshot: file that holds the state after the last epoch while the training lasts; None for
            no snapshots.
        loss: what is made small, of outputs, targets and label smoothing.
    """

    dataset: Dataset
    recipe: Recipe
    seed: int
    device: torch.device
    snapshot: Path | None = None
    loss: Loss = default_loss

    def run(self, model: nn.Module, advance: Callable[[str], None] = lambda _: None) -> None:
        """Train `model`, which is initialised and on the device, in place.

        Args:
            model: model to train, the same every time if a snapshot is to be continued.
            advance: function that is called after each epoch with a line about it.
        """
        hardware = self._hardware
        if hardware is None:
            self._run(model, advance)
        else:
            network = hardware.around(model)
            self._run(network, advance)
            hardware.take(model, network)
        model.eval()

    @property
    def _hardware(self) -> Hardware | None:
        crossbar = self.recipe.crossbar
        if crossbar is None:
            return None
        return Hardware(crossbar, self.dataset, self.seed, str(self.device))

    def _run(self, model: nn.Module, advance: Callable[[str], None]) -> None:
        epochs = self.recipe.epochs
        steps = epochs * -(-len(self.dataset.train) // self.recipe.batch)
        optimizer = _optimizer(model, self.recipe)
        # It rises for one step at least, without which torch divides by 0.
        rising = max(0.2, 2 / (steps + 1)) if steps else 0.2
        schedule = OneCycleLR(optimizer, self.recipe.lr, total_steps=steps + 1, pct_start=rising)
        identity = self._identity(model)
        done = self._resume(identity, model, optimizer)
        _advance(schedule, done * self._steps())
        for _ in range(done):
            advance("done before")
        with torch.random.fork_rng():
            for epoch in range(done, epochs):
                loss = self._epoch(epoch, model, optimizer, schedule)
                if self.snapshot is not None and epoch + 1 < epochs:
                    snapshots.write(self.snapshot, identity, epoch + 1, model, optimizer)
                advance(f"loss {loss:.4f}")

    def _epoch(
        self, epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: OneCycleLR
    ) -> float:
        # Seeds of its own for each epoch: a resumed training needs no state of generators.
        key = Stream(self.seed).key_of("training", epoch)
        torch.manual_seed(key)
        generator = torch.Generator().manual_seed(key)
        total = torch.zeros((), device=self.device)
        if self._hardware is not None:
            self._hardware.begin(model)
        model.train()
        for images, labels in _batches(self.dataset.train, self.recipe, generator):
            outputs = forward(model, self.dataset, images, self.device)
            loss = self._loss(outputs, labels.to(self.device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(labels)
        return total.item() / len(self.dataset.train)

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        try:
            return self.loss(outputs, targets, self.recipe.label_smoothing)
        except (RuntimeError, ValueError, LookupError) as error:
            if isinstance(error, MemcoreError):
                raise
            raise StudyError(
                f"outputs of shape {list(outputs.shape)} and {outputs.dtype} have no loss for "
                f"targets of shape {list(targets.shape)} and {targets.dtype}: {error}; expected an "
                "output for each class or number, or a checkpoint that needs no training"
            ) from error

    def _steps(self) -> int:
        """Steps of one epoch, as `_batches` makes them."""
        whole, rest = divmod(len(self.dataset.train), self.recipe.batch)
        return whole + (rest > 1)

    def _resume(self, identity: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """The number of finished epochs: those of a snapshot of this very training, else none."""
        if self.snapshot is None or not self.snapshot.exists():
            return 0
        try:
            done = snapshots.read(self.snapshot, identity, self.recipe.epochs, model, optimizer)
        except StudyError as error:
            LOG.warning("%s cannot be continued (%s); starting over", self.snapshot.name, error)
            return 0
        LOG.info("continuing after epoch %d", done)
        return done

    def _identity(self, model: nn.Module) -> str:
        content = digest_dataset(self.dataset)
        return digest_json([self.recipe.model_dump(), self.seed, content, digest(model)])


def _advance(schedule: OneCycleLR, steps: int) -> None:
    """Put a fresh schedule where it is after some steps: its rates follow from their number."""
    if steps:
        before = {"last_epoch": steps - 1, "_step_count": steps}
        schedule.load_state_dict({**schedule.state_dict(), **before})
        schedule.step()


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        model.parameters(),
        recipe.lr,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )


def _batches(
    split: Split, recipe: Recipe, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    if (recipe.flip or recipe.shift) and split.images.dim() != 4:
        raise StudyError(
            f"flip and shift move images, but a sample has shape {list(split.images.shape[1:])}; "
            "expected [channels, height, width]: set shift = 0 and flip = false in [train]"
        )
    order = torch.randperm(len(split), generator=generator, device="cpu")
    for start in range(0, len(order), recipe.batch):
        chosen = order[start : start + recipe.batch]
        if len(chosen) == 1:  # batch norm cannot normalise a single sample
            continue
        images = split.images[chosen]
        if recipe.flip:
            mirrored = torch.rand(len(chosen), generator=generator, device="cpu") < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
        if recipe.shift:
            images = _shifted(images, recipe.shift, generator)
        yield images, split.labels[chosen]


def _shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each image [n, c, h, w] moved by its own whole number of pixels, at most `most`."""
    n, _, height, width = images.shape
    padded = functional.pad(images, (most, most, most, most))
    by = torch.randint(0, 2 * most + 1, (2, n, 1), generator=generator, device="cpu")
    rows = (by[0] + torch.arange(height, device="cpu")).unsqueeze(2)
    cols = (by[1] + torch.arange(width, device="cpu")).unsqueeze(1)
    return padded[torch.arange(n, device="cpu").view(-1, 1, 1), :, rows, cols].permute(0, 3, 1, 2)
