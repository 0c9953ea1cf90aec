"""Weights on disk and their fingerprints."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memcore.errors import StudyError
from memcore.study.data import Dataset
from memcore.study.files import write_atomic

_RECORD = "memcore.study"
_PACKAGED = Path(__file__).parent


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
    """The record that `save_checkpoint` wrote into a file; None if there is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
        record = json.loads(metadata.get(_RECORD, "null"))
    except (SafetensorError, OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def packaged() -> list[str]:
    """The weights that come with memcore, which may be named instead of a file."""
    return sorted(path.stem for path in _PACKAGED.glob("*.safetensors"))


def located(checkpoint: str, folder: Path) -> Path:
    """The file that a study means: one beside it, or one that comes with memcore."""
    path = folder / checkpoint
    if checkpoint in packaged() and not path.exists():
        return _PACKAGED / f"{checkpoint}.safetensors"
    return path


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


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StudyError(
            f"there is no checkpoint '{path}'; memcore brings the weights {', '.join(packaged())}"
        ) from None
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
        raise StudyError(f"checkpoint '{path}' is no state_dict; expected names with tensors")
    return dict(content)


def _mismatches(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Iterator[str]:
    yield from (f"missing: {name}" for name in expected if name not in tensors)
    yield from (f"not in the model: {name}" for name in tensors if name not in expected)
    for name in expected.keys() & tensors.keys():
        came, want = tuple(tensors[name].shape), tuple(expected[name].shape)
        if came != want:
            yield f"{name}: shape {list(came)}, the model has {list(want)}"
