"""Which layers and matrices of a network are on crossbars; replacing one module by another."""

from collections.abc import Iterator
from typing import cast

from torch import nn
from torch.nn.parameter import is_lazy

from memcore._text import shown
from memcore.contracts.layer import Layer
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ArgumentTypeError, ConversionError
from memcore.nn.matrix import Matrix


def require_module(model: object) -> nn.Module:
    """The network itself.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"model={shown(model)}; expected a network, a torch.nn.Module")
    return model


def layers(model: nn.Module) -> dict[str, Layer]:
    """The converted layers by qualified name, a shared one under each of its names."""
    named = require_module(model).named_modules(remove_duplicate=False)
    return {name: module for name, module in named if isinstance(module, Layer)}


def require_layers(model: nn.Module) -> dict[str, Layer]:
    """The converted layers by qualified name.

    Raises:
        ConversionError: there are none.
    """
    converted = layers(model)
    if isinstance(model, Crossbar):
        raise ConversionError(
            "a Crossbar is no network; expected what memcore.convert returns: call the methods of "
            "the crossbar, crossbar.age(seconds=...) for instance"
        )
    if not converted:
        raise ConversionError(
            f"this {type(model).__name__} has no memristive layer; call memcore.convert first"
        )
    return converted


def unique_layers(model: nn.Module) -> list[Layer]:
    """Each converted layer once.

    Raises:
        ConversionError: there are none.
    """
    return list(dict.fromkeys(require_layers(model).values()))


def matrices(layer: Layer) -> dict[str, Matrix]:
    """The matrices of a layer by their names."""
    return {name: cast(Matrix, matrix) for name, matrix in layer.matrices.items()}


def named_matrices(model: nn.Module) -> dict[str, tuple[Layer, Matrix]]:
    """All matrices of a network, each with its layer, by qualified name.

    Raises:
        ConversionError: there are none.
    """
    return {
        qualified(layer_name, name): (layer, matrix)
        for layer_name, layer in require_layers(model).items()
        for name, matrix in matrices(layer).items()
    }


def unique_matrices(model: nn.Module) -> list[Matrix]:
    """Each matrix of a network once.

    Raises:
        ConversionError: there are none.
    """
    return [matrix for layer in unique_layers(model) for matrix in matrices(layer).values()]


def weights_of(model: nn.Module) -> tuple[int, int]:
    """Numbers in the weight matrices of a network, and how many of them are on crossbars.

    Biases, and parameters of one dimension such as those of norms, are no matrices.
    """
    whole = set(_weights(model))
    converted = {weight for layer in layers(model).values() for weight in _weights(layer)}
    return sum(p.numel() for p in whole), sum(p.numel() for p in converted)


def _weights(model: nn.Module) -> Iterator[nn.Parameter]:
    for name, parameter in model.named_parameters():
        is_bias = name.rpartition(".")[2].startswith("bias")
        if not is_lazy(parameter) and parameter.dim() > 1 and not is_bias:
            yield parameter


def qualified(layer: str, matrix: str) -> str:
    """The name of a matrix; that of a matrix called "weight" is the name of its layer."""
    if matrix == "weight":
        return layer
    return f"{layer}.{matrix}" if layer else matrix


def replace_module(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """Put a module in the place of a qualified name; returns the root, itself if it has none."""
    if not name:
        return module
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
    return model
