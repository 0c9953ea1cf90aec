"""`clip_weights`: bounds of weights, kept after each step of an optimiser."""

import torch
from torch import Tensor, nn

from memcore import _check
from memcore.contracts.layer import Layer
from memcore.errors import ConfigError
from memcore.nn.walk import unique_layers


@torch.no_grad()
def clip_weights(
    model: nn.Module, *, largest: float | None = None, sigmas: float | None = None
) -> None:
    """Clip the weights that are on crossbars, the parameters themselves, in place.

    A few large weights take the window of conductances from all others. Called after each step of
    an optimiser, `optimizer.register_step_post_hook(lambda *_: memcore.clip_weights(model,
    sigmas=2.5))`, training finds weights without them. Biases and digital layers are left alone.

    Args:
        model: a converted network.
        largest: the largest magnitude of a weight.
        sigmas: or its largest multiple of the standard deviation of the weights of one output.

    Raises:
        ConfigError: not one of the two is given, or a layer computes its matrices.
        ConversionError: there is no memristive layer.

    Examples:
        >>> mem = memcore.convert(nn.Linear(3, 2), memcore.CrossbarConfig(device="ideal"))
        >>> memcore.clip_weights(mem, largest=0.1)
        >>> bool((mem.weight.abs() <= 0.1).all())
        True
    """
    if (largest is None) == (sigmas is None):
        raise ConfigError(f"largest={largest} and sigmas={sigmas}; expected one of the two")
    if largest is not None:
        largest = _check.number("largest", largest, above=0)
    if sigmas is not None:
        sigmas = _check.number("sigmas", sigmas, above=0)
    for layer in unique_layers(model):
        for name, operand in layer.present().items():
            _require_view(layer, name, operand.weight)
            bound = largest if sigmas is None else _spread(operand.weight, sigmas)
            operand.weight.copy_(_clipped(operand.weight, bound))


def _spread(weight: Tensor, sigmas: float) -> Tensor:
    """The bound of each output, [groups, outputs, 1]; none where its weights do not differ."""
    spread = weight.std(2, correction=0, keepdim=True)
    return torch.where(spread > 0, sigmas * spread, torch.inf)


def _clipped(weight: Tensor, bound: Tensor | float | None) -> Tensor:
    at_most = torch.as_tensor(bound, dtype=weight.dtype, device=weight.device)
    return weight.minimum(at_most).maximum(-at_most)


def _require_view(layer: Layer, name: str, weight: Tensor) -> None:
    """Refuse a matrix that was computed, say by torch.cat: clipping it would clip a copy."""
    own = {parameter.untyped_storage().data_ptr() for parameter in layer.parameters()}
    if weight.untyped_storage().data_ptr() not in own:
        raise ConfigError(
            f"the matrix {name!r} of {type(layer).__name__} is computed from parameters; expected "
            "a view of one: clip the parameters themselves"
        )
