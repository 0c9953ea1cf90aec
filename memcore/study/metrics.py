"""How the outputs of a network are judged against the targets: the metric of a study."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from memcore.errors import MemcoreError, NotFiniteError, StudyError
from memcore.study.components import found, options_of

Batches = Iterable[tuple[Tensor, Tensor]]
#: What a training makes small, of outputs, targets and label smoothing.
Loss = Callable[[Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Kind:
    """How the values of a metric are told.

    Attributes:
        label: name for tables and plots.
        is_share: whether a value is a share of right answers, in [0, 1].
        smaller_is_better: whether a loss of quality makes the value larger.
    """

    label: str
    is_share: bool = False
    smaller_is_better: bool = False


@dataclass(frozen=True)
class Score:
    """What one network achieves.

    Attributes:
        value: value of the metric.
        samples: number of answers that were judged.
        right: number of right ones; None for a metric that counts none.
    """

    value: float
    samples: int
    right: int | None = None


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric that is ready for use; `metric` makes one.

    Attributes:
        name: name of the metric, or "package.module:function".
        judge: function of the batches of outputs and targets.
        accepts: function of all targets that says what is wrong with them, "" if nothing is.
        loss: what a training with this metric makes small.
    """

    name: str
    judge: Callable[[Batches], Score]
    accepts: Callable[[Tensor], str]
    loss: Loss

    def require(self, targets: Tensor) -> None:
        """Refuse targets that this metric says nothing about.

        Raises:
            StudyError: names what came, and the metrics there are.
        """
        problem = self.accepts(targets)
        if problem:
            raise StudyError(
                f"the metric {self.name!r} cannot judge these targets: {problem}; name another in "
                f'[study], metric = "...": there are {", ".join(METRICS)}, or your own as '
                '"package.module:function"'
            )


def accuracy() -> Metric:
    """The share of samples whose largest output is that of their label."""
    return Metric("accuracy", partial(_shares, dim=1, ignore=None), _one_label, default_loss)


def sequence(dim: int = -1, ignore: int = -100) -> Metric:
    """The share of right answers where a sample has many, such as a label for each word or pixel.

    Args:
        dim: dimension of the outputs that holds the classes; the others are those of the targets.
        ignore: label of places that are not judged, such as padding.
    """
    judge = partial(_shares, dim=dim, ignore=ignore)
    return Metric("sequence", judge, _many_labels, partial(_sequence_loss, dim=dim, ignore=ignore))


def mse() -> Metric:
    """The mean squared error over all outputs."""
    return _regression("mse", lambda error, _: error.square().mean())


def rmse() -> Metric:
    """The root of the mean squared error over all outputs."""
    return _regression("rmse", lambda error, _: error.square().mean().sqrt())


def mae() -> Metric:
    """The mean absolute error over all outputs."""
    return _regression("mae", lambda error, _: error.abs().mean())


def r2() -> Metric:
    """The coefficient of determination, the mean of those of the outputs."""
    return _regression("r2", _determination)


METRICS: Final[dict[str, Callable[..., Metric]]] = {
    "accuracy": accuracy,
    "sequence": sequence,
    "mse": mse,
    "rmse": rmse,
    "mae": mae,
    "r2": r2,
}
_KINDS: Final = {
    "accuracy": Kind("accuracy", is_share=True),
    "sequence": Kind("accuracy", is_share=True),
    "mse": Kind("mean squared error", smaller_is_better=True),
    "rmse": Kind("root mean squared error", smaller_is_better=True),
    "mae": Kind("mean absolute error", smaller_is_better=True),
    "r2": Kind("R²"),
}


def kind(component: Mapping[str, Any]) -> Kind:
    """How the values of the metric that a study names are told, without importing it."""
    name = str(component["name"])
    return _KINDS.get(name) or Kind(name.rpartition(":")[2].replace("_", " "))


def metric(component: Mapping[str, Any], folder: Path) -> Metric:
    """The metric that a study names.

    Args:
        component: mapping `{"name": ..., parameters}` with a name of `METRICS`, or
            "package.module:function" with a function of all outputs and all targets that returns a
            number, which is better if larger.
        folder: folder of the study file, where modules are found.

    Raises:
        StudyError: the name or a parameter is unknown.
    """
    name = str(component["name"])
    options = options_of(component)
    function = found("metric", name, METRICS, folder)
    try:
        if name in METRICS:
            inspect.signature(function).bind(**options)
            built: Metric = function(**options)
            return built
        inspect.signature(function).bind(
            torch.empty(0, device="cpu"), torch.empty(0, device="cpu"), **options
        )
    except TypeError as error:
        raise StudyError(f"metric {name!r}: {error}") from None
    except ValueError:  # some built-in functions have no signature
        pass
    judge = partial(_own, name, partial(function, **options))
    return Metric(name, judge, lambda _: "", default_loss)


def default_loss(outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy for whole numbers as targets, mean squared error for others."""
    if targets.is_floating_point():
        return functional.mse_loss(_as(outputs, targets), targets.to(outputs.dtype))
    return functional.cross_entropy(outputs, targets.long(), label_smoothing=smoothing)


def _sequence_loss(
    outputs: Tensor, targets: Tensor, smoothing: float, *, dim: int, ignore: int
) -> Tensor:
    return functional.cross_entropy(
        outputs.movedim(dim, 1), targets.long(), ignore_index=ignore, label_smoothing=smoothing
    )


def _shares(batches: Batches, *, dim: int, ignore: int | None) -> Score:
    right = judged = 0
    for outputs, targets in batches:
        classes = _classes(outputs, targets, dim)
        counted = torch.ones_like(targets, dtype=torch.bool)
        if ignore is not None:
            counted = targets != ignore
        chosen = targets[counted]
        if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < classes:
            raise StudyError(
                f"labels reach from {int(chosen.min())} to {int(chosen.max())}, but the network "
                f"has {classes} outputs; expected labels from 0 to {classes - 1}"
            )
        right += int(((outputs.argmax(dim) == targets) & counted).sum())
        judged += int(counted.sum())
    if not judged:
        raise StudyError("every label is to be ignored; expected some that can be judged")
    return Score(right / judged, judged, right)


def _classes(outputs: Tensor, targets: Tensor, dim: int) -> int:
    """The number of classes that outputs decide between."""
    shape = list(outputs.shape)
    classes = shape.pop(dim) if -len(shape) <= dim < len(shape) else 0
    if shape != list(targets.shape) or classes < 2:
        raise StudyError(
            f"the network returns shape {list(outputs.shape)} for labels of shape "
            f"{list(targets.shape)}; expected at least two outputs for each label, in dimension "
            f"{dim}: for other outputs name a metric that fits"
        )
    return classes


def _regression(name: str, value: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    def judge(batches: Batches) -> Score:
        outputs, targets = _all(batches)
        exact = targets.double()
        return Score(
            _number(name, value(_as(outputs, targets).double() - exact, exact)), len(exact)
        )

    return Metric(name, judge, _numbers, default_loss)


def _determination(error: Tensor, targets: Tensor) -> Tensor:
    flat = targets.reshape(len(targets), -1)
    spread = (flat - flat.mean(0)).square().sum(0)
    if bool((spread == 0).any()):
        raise StudyError("r2 of targets that are all equal says nothing; use mse")
    return (1 - error.reshape(len(error), -1).square().sum(0) / spread).mean()


def _own(name: str, function: Callable[..., Any], batches: Batches) -> Score:
    outputs, targets = _all(batches)
    try:
        value = function(outputs, targets)
    except MemcoreError:
        raise
    except Exception as error:  # whatever a function of the user's raises
        raise StudyError(f"metric {name!r} fails: {type(error).__name__}: {error}") from error
    return Score(_number(name, value), len(targets))


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if not math.isfinite(number):
        raise NotFiniteError(f"metric {name!r} gives {value!r}; expected one finite number")
    return number


def _all(batches: Batches) -> tuple[Tensor, Tensor]:
    outputs, targets = zip(*batches, strict=True)
    return torch.cat(outputs), torch.cat(targets)


def _as(outputs: Tensor, targets: Tensor) -> Tensor:
    """Outputs in the shape of the targets: [n, 1] beside [n] would make [n, n] of a difference."""
    came, want = ([n for n in each.shape[1:] if n != 1] for each in (outputs, targets))
    if came != want or len(outputs) != len(targets):
        raise StudyError(
            f"the network returns shape {list(outputs.shape)} for targets of shape "
            f"{list(targets.shape)}; expected one output for each target"
        )
    return outputs.reshape(targets.shape)


def _is_whole(targets: Tensor) -> bool:
    return not (targets.is_floating_point() or targets.is_complex())


def _one_label(targets: Tensor) -> str:
    if not _is_whole(targets):
        return f"they are {targets.dtype}, and labels are whole numbers"
    return "" if targets.dim() == 1 else f"a sample has {list(targets.shape[1:])} of them, not one"


def _many_labels(targets: Tensor) -> str:
    if not _is_whole(targets):
        return f"they are {targets.dtype}, and labels are whole numbers"
    return "" if targets.dim() > 1 else "a sample has one only"


def _numbers(targets: Tensor) -> str:
    if targets.is_complex():
        return f"they are {targets.dtype}"
    return "" if bool(targets.double().isfinite().all()) else "some are not finite"
