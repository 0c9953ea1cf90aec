"""Training the network of a study, and its checkpoint."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from memcore.errors import StudyError
from memcore.study.data import Dataset, Split
from memcore.study.files import write_atomic

CHECKPOINT = "model.safetensors"
_RECORD = "memcore.study"


class Recipe(BaseModel):
    """The table `[train]`: cross entropy, a one-cycle learning rate, small random shifts.

    Attributes:
        epochs: passes over the training set.
        lr: peak learning rate.
        batch: samples per step.
        optimizer: "adamw", or "sgd" with Nesterov momentum 0.9.
        weight_decay: decoupled for adamw.
        label_smoothing: of the cross entropy.
        shift: images move by up to this many pixels, at random, filled up with zeros.
        flip: images are mirrored left to right, at random.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=20, ge=0)
    lr: float = Field(default=1e-3, gt=0)
    batch: int = Field(default=128, ge=2)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = Field(default=1e-2, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    shift: int = Field(default=0, ge=0)
    flip: bool = False

    def over(self, *defaults: Mapping[str, Any]) -> "Recipe":
        """This recipe, with `defaults` for what it does not say; later ones win."""
        merged: dict[str, Any] = {}
        for mapping in (*defaults, self.model_dump(exclude_unset=True)):
            merged.update(mapping)
        return Recipe(**merged)


def train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    advance: Callable[[str], None] = lambda _: None,
) -> None:
    """Train `model` in place; the same seed gives the same weights on the same machine.

    Args:
        model: on `device`, already initialised.
        dataset: only its training split is touched.
        recipe: complete.
        seed: of the order of the samples, the shifts, and of dropout.
        device: to compute on.
        advance: called after each epoch with a line about it.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = _optimizer(model, recipe)
    steps = max(1, recipe.epochs * -(-len(dataset.train) // recipe.batch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=steps + 1, pct_start=0.2
    )
    model.train()
    for epoch in range(recipe.epochs):
        total = torch.zeros((), device=device)
        for images, labels in _batches(dataset.train, recipe, generator):
            x = dataset.prepare(images.to(device))
            loss = functional.cross_entropy(
                model(x), labels.to(device), label_smoothing=recipe.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(labels)
        advance(f"epoch {epoch + 1}/{recipe.epochs}, loss {total.item() / len(dataset.train):.4f}")
    model.eval()


def digest(model: nn.Module) -> str:
    """A short hash of all parameters and buffers, names included."""
    return digest_tensors(dict(sorted(model.state_dict().items())))


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """A short hash of named tensors: names, types, shapes and bytes."""
    total = hashlib.sha256()
    for name, tensor in tensors.items():
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().to("cpu").contiguous().view(-1)
        total.update(flat.view(torch.uint8).numpy().data)
    return total.hexdigest()[:16]


def digest_dataset(dataset: Dataset) -> str:
    """A short hash of all images and labels."""
    return digest_tensors(
        {
            "train images": dataset.train.images,
            "train labels": dataset.train.labels,
            "test images": dataset.test.images,
            "test labels": dataset.test.labels,
        }
    )


def save_checkpoint(model: nn.Module, path: Path, record: Mapping[str, Any]) -> None:
    """Write the weights as safetensors, with `record` as metadata; whole or not at all."""
    from safetensors.torch import save

    tensors = {k: v.detach().to("cpu").clone() for k, v in model.state_dict().items()}
    # One metadata key: safetensors does not keep the order of several.
    write_atomic(path, save(tensors, {_RECORD: json.dumps(record, sort_keys=True)}))


def checkpoint_record(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` noted in a file; `None` if it is torn or somebody else's."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
        record = json.loads(metadata.get(_RECORD, "null"))
    except (SafetensorError, OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a state_dict file into `model`.

    Raises:
        StudyError: the file is missing or unreadable, or its names and shapes are not the
            model's; lists which.
    """
    tensors = _read_tensors(path)
    expected = model.state_dict()
    problems = list(_mismatches(tensors, expected))
    if problems:
        shown = problems[:8] + ([f"... and {len(problems) - 8} more"] if len(problems) > 8 else [])
        raise StudyError(
            f"checkpoint '{path}' does not fit the model {type(model).__name__}:\n  "
            + "\n  ".join(shown)
        )
    model.load_state_dict(tensors)
    model.eval()


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
    order = torch.randperm(len(split), generator=generator)
    for start in range(0, len(order), recipe.batch):
        chosen = order[start : start + recipe.batch]
        if len(chosen) == 1:  # batch norm cannot normalise a single sample
            continue
        images = split.images[chosen]
        if recipe.flip:
            mirrored = torch.rand(len(chosen), generator=generator) < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
        if recipe.shift:
            images = _shifted(images, recipe.shift, generator)
        yield images, split.labels[chosen]


def _shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each image [n, c, h, w] moved by its own whole number of pixels, at most `most`."""
    n, _, height, width = images.shape
    padded = functional.pad(images, (most, most, most, most))
    by = torch.randint(0, 2 * most + 1, (2, n, 1), generator=generator)
    rows = (by[0] + torch.arange(height)).unsqueeze(2)
    cols = (by[1] + torch.arange(width)).unsqueeze(1)
    return padded[torch.arange(n).view(-1, 1, 1), :, rows, cols].permute(0, 3, 1, 2)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StudyError(f"there is no checkpoint '{path}'") from None
    except Exception as error:
        raise StudyError(
            f"checkpoint '{path}' cannot be read: {error}; expected safetensors or a state_dict "
            "saved by torch.save"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise StudyError(f"checkpoint '{path}' is no state_dict: expected names with tensors")
    return dict(content)


def _mismatches(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Iterator[str]:
    yield from (f"missing: {name}" for name in expected if name not in tensors)
    yield from (f"not in the model: {name}" for name in tensors if name not in expected)
    for name in expected.keys() & tensors.keys():
        came, want = tuple(tensors[name].shape), tuple(expected[name].shape)
        if came != want:
            yield f"{name}: shape {list(came)}, the model has {list(want)}"
