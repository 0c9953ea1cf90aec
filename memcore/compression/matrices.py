"""The weight matrices of a network that passes work on."""

import torch
from torch import Tensor, nn

from memcore.errors import ConversionError, ShapeError

#: Modules whose weight is one matrix; subclasses may compute anything.
_CLASSES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """The linear layers and convolutions of a network by qualified name, each once.

    Raises:
        ConversionError: there are none.
    """
    found = {
        name: module
        for name, module in model.named_modules()
        if type(module) in _CLASSES and isinstance(module._parameters.get("weight"), nn.Parameter)
    }
    if not found:
        raise ConversionError(
            f"this {type(model).__name__} has no linear layer and no convolution with a weight of "
            "its own; expected a digital network: call memcore.revert_ on a converted one"
        )
    return found


def last_layer(model: nn.Module) -> str:
    """The name of the layer that comes last, whose filters are the outputs of the network."""
    return list(prunable(model))[-1]


def matrix_of(module: nn.Module) -> Tensor:
    """The weights of a layer, [groups, outputs, inputs]: filters are bit lines, inputs word lines.

    The inputs of a convolution are channels times positions of the kernel.
    """
    weight: Tensor = module.weight  # type: ignore[assignment]
    groups = int(getattr(module, "groups", 1))
    return weight.reshape(groups, len(weight) // groups, -1)


@torch.no_grad()
def write_matrix(module: nn.Module, matrix: Tensor) -> None:
    """Take [groups, outputs, inputs] for the weights of a layer, in place.

    Raises:
        ShapeError: the layer has another matrix.
    """
    weight: Tensor = module.weight  # type: ignore[assignment]
    wanted = matrix_of(module).shape
    if matrix.shape != wanted:
        raise ShapeError(f"matrix has shape {list(matrix.shape)}; expected {list(wanted)}")
    weight.copy_(matrix.reshape(weight.shape))
