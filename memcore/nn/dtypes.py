"""Inputs of another dtype than the cells that they drive."""

import torch
from torch import Tensor

from memcore.errors import ArgumentTypeError


def require_dtype(x: Tensor, dtype: torch.dtype, name: str) -> None:
    """Refuse inputs that no product with the cells takes.

    Autocast converts what a product multiplies, float64 aside, as it does in a digital layer.

    Args:
        x: inputs of any shape.
        dtype: of the cells.
        name: of the matrix, for the message.

    Raises:
        ArgumentTypeError: the inputs have another dtype.
    """
    if x.dtype == dtype or _is_converted(x):
        return
    other = f", or the network .to({x.dtype})" if x.is_floating_point() else ""
    raise ArgumentTypeError(
        f"the inputs of {repr(name) if name else 'the layer'} are {x.dtype}, but its cells are "
        f"{dtype}; expected the same: use x.to({dtype}){other}"
    )


def _is_converted(x: Tensor) -> bool:
    single = x.is_floating_point() and x.dtype != torch.float64
    return single and torch.is_autocast_enabled(x.device.type)
