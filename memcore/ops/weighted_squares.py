"""Sums of squares of what drives word lines, each with a weight of its own."""

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ArgumentTypeError
from memcore.ops import _library
from memcore.ops._library import is_plain
from memcore.ops.checks import require_same_device, require_shape

#: Codes that leave the inputs as they are: 1 / step, lowest, highest.
EXACT = (0.0, 1.0, 0.0)


def weighted_squares(
    x: Tensor, weights: Tensor, codes: tuple[float, float, float] = EXACT
) -> float:
    """Sum over all rows of weights times squares of inputs, or of the codes of a DAC.

    Args:
        x: inputs, float32 [n, size].
        weights: float32 [size].
        codes: 1 / step, lowest and highest code: an input counts as
            clamp(round(x / step), lowest, highest); `EXACT` for itself.

    Returns:
        The sum; runs of 2048 products are in single, all else in double precision. There is no
        gradient.

    Raises:
        ArgumentTypeError: if a dtype is another one.
        ConfigError: if a shape or a device does not fit.
    """
    plain = is_plain(x) and is_plain(weights)
    if plain and x.dim() == 2 and x.shape[1:] == weights.shape:
        return plain_squares(x, x.shape[0], weights, codes)
    return float(_SQUARES(x, weights, *codes))


def plain_squares(x: Tensor, n: int, weights: Tensor, codes: tuple[float, float, float]) -> float:
    """As `weighted_squares` of inputs that are plain, of any shape with n rows; nothing is checked.

    A read of a small layer takes microseconds, and so do checks.
    """
    cpu = native.cpu()
    if cpu is None:
        return float(_SQUARES(x.reshape(n, len(weights)), weights, *codes))
    size = weights.numel()
    squares: float = cpu.weighted_squares(x.data_ptr(), weights.data_ptr(), n, size, *codes)
    return squares


def _empty(x: Tensor, weights: Tensor, inverse: float, lo: float, hi: float) -> Tensor:
    del inverse, lo, hi
    if x.dtype != torch.float32 or weights.dtype != torch.float32:
        raise ArgumentTypeError(
            f"x is {x.dtype} and weights is {weights.dtype}; expected torch.float32"
        )
    require_shape("x", x, (len(x) if x.dim() else 0, *weights.shape))
    require_same_device("weights", weights, "x", x)
    return x.new_empty((), dtype=torch.float64)


def _reference(x: Tensor, weights: Tensor, inverse: float, lo: float, hi: float) -> Tensor:
    driven = x if hi < lo else (x * inverse).round().clamp(lo, hi)
    return driven.double().square().sum(0) @ weights.double()


def _native(x: Tensor, weights: Tensor, inverse: float, lo: float, hi: float) -> Tensor:
    out = _empty(x, weights, inverse, lo, hi)
    if x.is_cuda:
        return _reference(x, weights, inverse, lo, hi)
    x, weights = x.contiguous(), weights.contiguous()
    total = native.cpu().weighted_squares(  # type: ignore[union-attr]
        x.data_ptr(), weights.data_ptr(), *x.shape, inverse, lo, hi
    )
    return out.fill_(total)


_SQUARES = _library.register(
    "weighted_squares(Tensor x, Tensor weights, float inverse, float lo, float hi) -> Tensor",
    fake=_empty,
    reference=_reference,
    kernel=_native,
)
