"""States that a network takes as a whole or not at all.

Torch loads a state module by module. One that the last layer refuses would leave the others with
what they have already taken, so the network has all of its layers look at it first.
"""

from typing import Any

from torch import Tensor, nn

from memcore.contracts.layer import Layer, prepare_state
from memcore.nn.walk import layers


def refuse_as_a_whole(model: nn.Module) -> None:
    """Let a converted network refuse a state before any of its layers has taken a part of it.

    A state whose tensors have another shape is torch's to refuse, once it has loaded the others.
    """
    if not isinstance(model, Layer):  # which does so itself
        model.register_load_state_dict_pre_hook(_prepare)  # type: ignore[no-untyped-call]


def refuse_by_layers(model: nn.Module) -> None:
    """Take back what `refuse_as_a_whole` did, of a network that has no layers any more."""
    hooks = model._load_state_dict_pre_hooks
    for key in [key for key, each in hooks.items() if getattr(each, "hook", None) is _prepare]:
        del hooks[key]


def _prepare(model: nn.Module, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    del rest
    for name, layer in layers(model).items():
        prepare_state(layer, state, f"{prefix}{name}.")
