"""Adapters of low rank beside a layer: what stays digital while the layer goes onto arrays."""

from collections.abc import Callable

from torch import nn

#: The child in which a wrapper keeps the layer that it adapts, as those of `peft` do.
_BASE = "base_layer"
#: Why an adapter stays digital.
ADAPTER = "an adapter, which corrects what base_layer computes"


def adapters(model: nn.Module) -> Callable[[str], bool]:
    """Whether a qualified name is that of an adapter, or of something inside one.

    An adapter is a module beside a child called `base_layer`. It is small, trained, and corrects
    what the arrays of the base compute, so it belongs beside them and not on arrays.
    """
    beside = tuple(
        f"{name}.{child}" if name else child
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module._modules.get(_BASE), nn.Module)
        for child in module._modules
        if child != _BASE
    )
    return lambda name: any(name == each or name.startswith(f"{each}.") for each in beside)
