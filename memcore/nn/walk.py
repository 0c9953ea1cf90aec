"""Which layers of a network are memristive, and how one module takes the place of another."""

from torch import nn

from memcore.errors import ConversionError
from memcore.nn.layers import CrossbarLayer


def crossbar_layers(model: nn.Module) -> dict[str, CrossbarLayer]:
    """The converted layers by qualified name.

    Raises:
        ConversionError: there are none.
    """
    found = memristive_layers(model)
    if not found:
        raise ConversionError(
            f"this {type(model).__name__} has no memristive layer; call memcore.convert first"
        )
    return found


def memristive_layers(model: nn.Module) -> dict[str, CrossbarLayer]:
    """The converted layers by qualified name, a shared one under each of its names."""
    named = model.named_modules(remove_duplicate=False)
    return {name: module for name, module in named if isinstance(module, CrossbarLayer)}


def unique_layers(model: nn.Module) -> list[CrossbarLayer]:
    """Each converted layer once.

    Raises:
        ConversionError: there are none.
    """
    return list(dict.fromkeys(crossbar_layers(model).values()))


def replace_module(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """Put a module in the place of a qualified name; returns the root, itself if it has none."""
    if not name:
        return module
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
    return model
