"""Checks of tensors, in the same words for all operators."""

import torch
from torch import Tensor

from memcore.errors import ArgumentTypeError, ConfigError, ShapeError

#: What PyTorch calculates with; of narrower ones it knows conversions only.
_FLOATING = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})


def require_floating(name: str, tensor: Tensor) -> None:
    """Refuse a tensor of another dtype than those of calculations with real numbers.

    Raises:
        ArgumentTypeError: the dtype is another one.
    """
    if tensor.dtype not in _FLOATING:
        raise ArgumentTypeError(
            f"{name} is {tensor.dtype}; expected a floating-point dtype: use {name}.float()"
        )


def require_dense(*arguments: object) -> None:
    """Refuse tensors whose numbers are not laid out one after the other.

    Raises:
        ArgumentTypeError: a tensor is sparse, nested, quantised or otherwise special.
    """
    for tensor in arguments:
        if not isinstance(tensor, Tensor):
            continue
        if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized:
            kind = "nested" if tensor.is_nested else str(tensor.layout)
            kind = "quantised" if tensor.is_quantized else kind
            raise ArgumentTypeError(
                f"a tensor is {kind}; expected a dense one: use .to_dense() or .dequantize()"
            )


def require_shape(name: str, tensor: Tensor, *shapes: tuple[int, ...]) -> None:
    """Refuse a tensor that has none of the shapes.

    Raises:
        ShapeError: the shape is another one.
    """
    if tensor.shape not in shapes:
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        raise ShapeError(f"{name} has shape {list(tensor.shape)}; expected {wanted}")


def require_same_dtype(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Refuse a tensor of another dtype than the other one.

    Raises:
        ArgumentTypeError: the dtypes differ.
    """
    if tensor.dtype != other.dtype:
        raise ArgumentTypeError(
            f"{name} is {tensor.dtype}, but {other_name} is {other.dtype}; expected the same: "
            "convert one of them"
        )


def require_same_device(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Refuse a tensor on another device than the other one.

    Raises:
        ConfigError: the devices differ.
    """
    if tensor.device != other.device:
        raise ConfigError(
            f"{name} is on {tensor.device}, but {other_name} is on {other.device}; expected the "
            "same: move one of them"
        )
