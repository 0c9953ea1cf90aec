"""The batches that a network is judged by, and the metric that judges its outputs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from memcore.errors import ConfigError
from memcore.nn.feeding import joined

Metric = Callable[[Any, Any], float]


def accuracy(output: Tensor, target: Tensor) -> float:
    """Share of the samples whose largest output is the target class."""
    return float((output.argmax(-1) == target).double().mean())


def batches_of(loader: object) -> tuple[list[Any], Any]:
    """The inputs of all batches, and all targets."""
    expected = "expected batches (inputs, targets), as a DataLoader or a list such as [(x, y)]"
    if isinstance(loader, Tensor) or not isinstance(loader, Iterable):
        raise ConfigError(f"the loader is {type(loader).__name__}; {expected}")
    batches, targets = [], []
    for index, batch in enumerate(loader):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            what = (
                f"{len(batch)} parts" if isinstance(batch, list | tuple) else type(batch).__name__
            )
            raise ConfigError(f"batch {index} of the loader is {what}; {expected}")
        batches.append(batch[0])
        targets.append(batch[1])
    if not batches:
        raise ConfigError(f"the loader has no batches; {expected}")
    return batches, joined(targets)


def judging(metric: Metric | None, targets: Any) -> Callable[[Any], float]:
    """What turns the outputs of all batches into the metric; accuracy by default."""
    if metric is not None:
        return lambda outputs: float(metric(outputs, targets))
    if not isinstance(targets, Tensor) or targets.is_floating_point():
        kind = targets.dtype if isinstance(targets, Tensor) else type(targets).__name__
        raise ConfigError(
            f"targets are {kind}, which accuracy cannot judge; expected classes as integers, or "
            "metric=f with f(outputs, targets), more being better"
        )
    return lambda outputs: accuracy(_logits(outputs), targets)


def _logits(outputs: Any) -> Tensor:
    """The scores of the classes, of a network whose outputs may have more parts."""
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping) and isinstance(outputs.get("logits"), Tensor):
        logits: Tensor = outputs["logits"]
        return logits
    raise ConfigError(
        f"the outputs are a {type(outputs).__name__}; expected a tensor, a mapping with 'logits', "
        "or metric=f with f(outputs, targets)"
    )
