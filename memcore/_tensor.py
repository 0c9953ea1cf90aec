"""Values as tensors that stay where they are, whatever the default device is."""

from typing import Any

import torch
from torch import Tensor


def as_tensor(value: Any, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor as it is, or the values of numbers, on the CPU.

    `torch.as_tensor` moves tensors to the default device that a user has set.
    """
    if isinstance(value, Tensor):
        return value if dtype is None else value.to(dtype)
    return torch.as_tensor(value, dtype=dtype, device="cpu")
