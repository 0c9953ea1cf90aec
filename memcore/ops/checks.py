"""Checks of tensors, in the same words for all operators."""

from torch import Tensor

from memcore.errors import ArgumentTypeError, ConfigError, ShapeError


def require_shape(name: str, tensor: Tensor, *shapes: tuple[int, ...]) -> None:
    """Refuse a tensor that has none of the shapes.

    Raises:
        ShapeError: the shape is another one.
    """
    if tuple(tensor.shape) not in shapes:
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
