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
from memcore.study.files import is_regular, write_atomic

_RECORD = "memcore.study"
_PACKAGED = Path(__file__).parent


def digest(model: nn.Module) -> str:
    """A short hash of all parameters and buffers, names included."""
    return digest_tensors(dict(sorted(state_of(model).items())))


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


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The state of a model by name.

    Raises:
        StudyError: a part of it is no tensor, which no file of tensors could hold.
    """
    state = model.state_dict()
    for name, part in state.items():
        if not isinstance(part, Tensor):
            raise StudyError(
                f"the state {name!r} of {type(model).__name__} is {type(part).__name__}; expected "
                "tensors only: register it as a buffer, or leave it out of the state"
            )
    return dict(state)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write tensors as safetensors, with `record` as metadata; whole or not at all."""
    from safetensors.torch import save

    own = {k: v.detach().to("cpu").contiguous().clone() for k, v in tensors.items()}
    # One metadata key: safetensors does not keep the order of several.
    write_atomic(path, save(own, {_RECORD: json.dumps(record, sort_keys=True)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the record of a file of `save_tensors`; any other's record is empty.

    Raises:
        StudyError: it is no safetensors file, or torn.
    """
    from safetensors import SafetensorError, safe_open

    if not is_regular(path):
        raise StudyError("it is no regular file")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError, LookupError, TypeError) as error:
        what = "it is torn or no safetensors file"
        raise StudyError(f"{what} ({error})") from error
    try:
        record = json.loads(metadata.get(_RECORD, "null"))
    except (ValueError, RecursionError):
        record = None
    return tensors, record if isinstance(record, dict) else {}


def save_checkpoint(model: nn.Module, path: Path, record: Mapping[str, Any]) -> None:
    """Write the weights as safetensors, with `record` as metadata; whole or not at all."""
    save_tensors(path, state_of(model), record)


def checkpoint_record(path: Path) -> dict[str, Any] | None:
    """The record that `save_checkpoint` wrote into a file; None if there is none."""
    try:
        return read_tensors(path)[1] or None
    except StudyError:
        return None


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
    """Load a safetensors file into `model`, or nothing of it.

    Raises:
        StudyError: the file is missing or unreadable, or its names, types and shapes are not the
            model's; lists which.
    """
    tensors = _checkpoint(path)
    problems = list(mismatches(tensors, state_of(model)))
    if problems:
        shown = problems[:8] + ([f"... and {len(problems) - 8} more"] if len(problems) > 8 else [])
        raise StudyError(
            f"checkpoint '{path}' does not fit the model {type(model).__name__}:\n  "
            + "\n  ".join(shown)
            + _prefix_hint(tensors, state_of(model), path)
        )
    model.load_state_dict(tensors)
    model.eval()


def _checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        there = path.exists()
    except OSError:
        there = False
    if not there:
        raise StudyError(
            f"there is no checkpoint '{path}'; memcore brings the weights {', '.join(packaged())}"
        )
    try:
        return read_tensors(path)[0]
    except StudyError as error:
        raise StudyError(
            f"checkpoint '{path}' cannot be read: {error}; expected safetensors: files of "
            "torch.save are converted by `memcore convert-checkpoint`, which also takes weights "
            "out of wrappers such as 'model_state_dict' or 'net'"
        ) from error


def mismatches(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Iterator[str]:
    """What keeps tensors from being the state of a model, a line each."""
    yield from (f"missing: {name}" for name in expected if name not in tensors)
    yield from (f"not in the model: {name}" for name in tensors if name not in expected)
    for name, want in expected.items():
        came = tensors.get(name)
        if came is None:
            continue
        if came.shape != want.shape:
            yield f"{name}: shape {list(came.shape)}, the model has {list(want.shape)}"
        elif came.is_floating_point() != want.is_floating_point():
            yield f"{name}: {came.dtype}, the model has {want.dtype}"


def _prefix_hint(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> str:
    """What to do if only the beginning of all names differs, as wrappers of networks leave it."""
    first = next(iter(tensors), "")
    for name in expected:
        prefix = first.removesuffix(name)
        if prefix != first and {f"{prefix}{each}" for each in expected} == set(tensors):
            return (
                f"\nall its names begin with {prefix!r}: take it off with\n"
                f"  memcore convert-checkpoint --strip {prefix} '{path}'"
            )
    return ""
