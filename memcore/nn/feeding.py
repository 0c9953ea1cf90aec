"""How batches reach a network: tensors, tuples, mappings, or as a function of one's own says."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from memcore._text import shown
from memcore.errors import ArgumentTypeError, ConfigError

#: A batch, or batches; of (inputs, targets) the inputs are taken.
Batches = Tensor | Iterable[Any]
#: `forward(model, batch)`: how a batch is run, where the rules of `run` do not fit.
Forward = Callable[[nn.Module, Any], Any]


def run(model: nn.Module, inputs: Any, forward: Forward | None = None) -> Any:
    """The outputs of a network for the inputs of one batch.

    A mapping is passed by keywords, a tuple or list by position, anything else as the only
    argument, unless `forward` says otherwise.
    """
    if forward is not None:
        return _callable(forward)(model, inputs)
    if isinstance(inputs, Mapping):
        _require_fit(model, (), inputs)
        return model(**inputs)
    if isinstance(inputs, tuple | list):
        _require_fit(model, inputs, {})
        return model(*inputs)
    _require_tensor(inputs)
    return model(inputs)


def _require_fit(model: nn.Module, parts: Sequence[Any], named: Mapping[Any, Any]) -> None:
    """Refuse a batch in parts that are not the arguments of the network."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):  # of a compiled function: the call tells
        return
    try:
        signature.bind(*parts, **named)
    except TypeError as error:
        which = ", ".join(map(str, named)) if named else f"{len(parts)} of them"
        raise ConfigError(
            f"the network does not take the parts of a batch, {which}: {error}; expected "
            f"arguments {signature}, or forward= that says how to call it"
        ) from None


def _require_tensor(inputs: Any) -> None:
    """Refuse what alone is no input of a network: a number, a text, an array of numpy."""
    is_array = hasattr(inputs, "__array_ufunc__") and not isinstance(inputs, Tensor)
    if is_array or inputs is None or isinstance(inputs, int | float | complex | str | bytes):
        raise ArgumentTypeError(
            f"the inputs are a {type(inputs).__name__}; expected a batch as a tensor, or an "
            "iterable of batches: use torch.as_tensor"
        )


def _callable(forward: Forward) -> Forward:
    if not callable(forward):
        raise ConfigError(f"forward={shown(forward)}; expected a function (model, batch)")
    return forward


def inputs_of(model: nn.Module, batch: Any) -> Any:
    """What of a batch of a loader the network takes.

    Of a tuple or list, all parts that `forward` requires, at least one: what comes behind them is
    taken for targets.
    """
    if not isinstance(batch, tuple | list):
        return batch
    if not batch:
        raise ConfigError("a batch is empty; expected inputs, or (inputs, targets)")
    if len(batch) == 1 or isinstance(batch[0], Mapping | tuple | list):
        return batch[0]
    count = min(max(1, _required(model)), len(batch))
    return batch[0] if count == 1 else tuple(batch[:count])


def batches(model: nn.Module, inputs: Batches, forward: Forward | None = None) -> Iterator[Any]:
    """The inputs of each batch, one after another; whole batches if `forward` takes them apart.

    Raises:
        ConfigError: what should be batches is something else.
    """
    if isinstance(inputs, Tensor | Mapping):
        yield inputs
        return
    if forward is None:
        _require_tensor(inputs)
    if not isinstance(inputs, Iterable) or isinstance(inputs, str | bytes):
        raise ConfigError(
            f"the inputs are a {type(inputs).__name__}; expected a batch, or an iterable of "
            "batches such as a DataLoader"
        )
    for batch in inputs:
        yield batch if forward is not None else inputs_of(model, batch)


def again(inputs: Batches) -> Batches:
    """The same batches, such that they can be read twice: a generator is read and kept."""
    once = isinstance(inputs, Iterator)
    return list(inputs) if once else inputs


def tensors(outputs: Any) -> list[Tensor]:
    """The floating-point tensors among the outputs of a network, in order."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.is_floating_point() else []
    if isinstance(outputs, Mapping):
        return [tensor for value in outputs.values() for tensor in tensors(value)]
    if isinstance(outputs, tuple | list):
        return [tensor for value in outputs for tensor in tensors(value)]
    return []


def joined(parts: list[Any]) -> Any:
    """The outputs of several batches as those of one: tensors are concatenated."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts) if first.dim() else torch.stack(parts)
    if isinstance(first, Mapping):
        return {key: joined([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple | list):
        return tuple(joined([part[k] for part in parts]) for k in range(len(first)))
    return parts


def _required(model: nn.Module) -> int:
    """How many arguments `forward` must be given by position."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)
