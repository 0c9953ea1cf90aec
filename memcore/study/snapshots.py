"""The state of a training between two epochs: safetensors with a record, read whole or not at all.

Only tensors are kept. What an optimiser is told to do, and the learning rates, follow from the
recipe and from the number of finished epochs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from memcore._tensor import as_tensor
from memcore.errors import StudyError
from memcore.study.checkpoints import (
    digest_tensors,
    mismatches,
    read_tensors,
    save_tensors,
    state_of,
)

_MODEL: Final = "model."
_OPTIMIZER: Final = "optimizer."


def write(path: Path, identity: str, done: int, model: nn.Module, optimizer: Optimizer) -> None:
    """Keep the state after `done` epochs of the training that `identity` stands for."""
    tensors = {_MODEL + name: tensor for name, tensor in state_of(model).items()}
    for index, parts in optimizer.state_dict()["state"].items():
        for name, part in parts.items():
            if part is not None:
                tensors[f"{_OPTIMIZER}{index}.{name}"] = as_tensor(part)
    record = {"of": identity, "done": done, "checksum": _checksum(tensors)}
    save_tensors(path, tensors, record)


def read(path: Path, identity: str, epochs: int, model: nn.Module, optimizer: Optimizer) -> int:
    """Put a kept state into a model and its fresh optimiser, and tell the finished epochs.

    All of the file is examined before anything is loaded.

    Raises:
        StudyError: it is torn, changed, of another training, or does not fit; nothing was loaded.
    """
    tensors, record = read_tensors(path)
    done = record.get("done")
    if record.get("of") != identity:
        raise StudyError("it belongs to another training")
    if not isinstance(done, int) or isinstance(done, bool) or not 0 < done < epochs:
        raise StudyError(f"it claims {done!r} finished epochs; expected 1 to {epochs - 1}")
    if record.get("checksum") != _checksum(tensors):
        raise StudyError("its numbers are not those that were written")
    weights = _below(_MODEL, tensors)
    problems = [*mismatches(weights, state_of(model))]
    problems += _misfits(_below(_OPTIMIZER, tensors), optimizer)
    problems += [name for name in tensors if not name.startswith((_MODEL, _OPTIMIZER))]
    if problems:
        raise StudyError(f"it does not fit the network: {problems[0]}")
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _below(_OPTIMIZER, tensors).items():
        index, _, part = name.partition(".")
        state.setdefault(int(index), {})[part] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    model.load_state_dict(weights)
    return done


def _misfits(tensors: Mapping[str, Tensor], optimizer: Optimizer) -> list[str]:
    """What an optimiser does not keep, a line each; a parameter without gradient has no state."""
    parts = {"momentum_buffer"} if isinstance(optimizer, SGD) else {"step", "exp_avg", "exp_avg_sq"}
    shapes: dict[str, Any] = {}
    kept = {name.partition(".")[0] for name in tensors}
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for index, parameter in enumerate(parameters):
        if str(index) in kept:
            shapes |= {
                f"{index}.{part}": () if part == "step" else tuple(parameter.shape)
                for part in parts
            }
    names = sorted(shapes.keys() ^ tensors.keys())
    wrong = [f"the optimiser's {name} is missing or unknown" for name in names]
    return wrong + [
        f"the optimiser's {name} has shape {list(tensor.shape)}"
        for name, tensor in tensors.items()
        if name in shapes and tuple(tensor.shape) != shapes[name]
    ]


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    return digest_tensors(dict(sorted(tensors.items())))
