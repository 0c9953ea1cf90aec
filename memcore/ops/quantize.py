"""Nearest value of a grid and nearest of a table of levels, with straight-through gradients."""

from typing import Any

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ConfigError, ShapeError
from memcore.ops import _library
from memcore.ops._library import address, is_plain, lies_plain
from memcore.ops.checks import require_floating, require_same_device
from memcore.ops.mapped import elementwise
from memcore.ops.signatures import with_signature

#: The kernels find a level by a 32-bit index into tables twice as large.
_MOST_LEVELS = 2**30


def uniform(x: Tensor, step: Tensor | float, lo: float, hi: float) -> Tensor:
    """Round to multiples of a step: clamp(round(x / step), lo, hi) * step, halves to even.

    Args:
        x: values of any shape, floating point.
        step: size of a step in the unit of x, greater than zero; a number or [1], or [x.shape[-1]]
            for a step per column.
        lo: lowest result, in steps.
        hi: highest result, in steps.

    Returns:
        The shape and dtype of x. NaN stays NaN. The gradient passes where
        lo * step <= x <= hi * step.

    Raises:
        ArgumentTypeError: if x or step is not a floating-point tensor.
        ConfigError: if a number or a shape does not fit.
    """
    if not isinstance(step, Tensor):
        if not step > 0:
            raise ConfigError(f"step is {step!r}; expected a number greater than zero")
        step = torch.full((1,), step, dtype=x.dtype, device=x.device)
    if not lo <= hi:
        raise ConfigError(f"lo is {lo!r} and hi is {hi!r}; expected lo <= hi")
    if x.requires_grad and torch.is_grad_enabled():
        return _UniformSte.apply(x, step, lo, hi)  # type: ignore[no-any-return,no-untyped-call]
    if _is_at_hand(x, step):
        return _uniform_native(x, step, lo, hi)
    return _UNIFORM(x, step, lo, hi)


def levels(x: Tensor, levels: Tensor) -> Tensor:
    """Replace every value by the nearest level of a table, by the lower of two equally near.

    Args:
        x: values of any shape, floating point.
        levels: levels, ascending and finite (not checked), [n], or [x.shape[-1], n] for a table per
            column.

    Returns:
        The shape and dtype of x. NaN stays NaN. The gradient passes between the lowest and the
        highest level.

    Raises:
        ArgumentTypeError: if x or levels is not a floating-point tensor.
        ConfigError: if a shape does not fit.
    """
    if x.requires_grad and torch.is_grad_enabled():
        return _LevelsSte.apply(x, levels)  # type: ignore[no-any-return,no-untyped-call]
    if _is_at_hand(x, levels):
        return _levels_native(x, levels)
    return _LEVELS(x, levels)


class _UniformSte(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(x: Tensor, step: Tensor, lo: float, hi: float) -> Tensor:
        return _UNIFORM(x, step, lo, hi)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        x, step, lo, hi = inputs
        ctx.save_for_backward(x, step)
        ctx.range = lo, hi

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:
        x, step = ctx.saved_tensors
        lo, hi = ctx.range
        inside = (x >= lo * step) & (x <= hi * step)
        return grads[0] * inside, None, None, None


class _LevelsSte(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(x: Tensor, levels: Tensor) -> Tensor:
        return _LEVELS(x, levels)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        x, levels = ctx.saved_tensors
        inside = (x >= levels[..., 0]) & (x <= levels[..., -1])
        return grads[0] * inside, None


def _is_at_hand(x: Tensor, other: Tensor) -> bool:
    """Whether a kernel may be called past the dispatcher, which takes as long as most calls."""
    return is_plain(x) and lies_plain(other) and native.cpu() is not None


def _check_pair(x: Tensor, other: Tensor, name: str) -> None:
    require_floating("x", x)
    require_floating(name, other)
    require_same_device(name, other, "x", x)


def _empty_uniform(x: Tensor, step: Tensor, lo: float, hi: float) -> Tensor:
    del lo, hi
    _check_pair(x, step, "step")
    if step.dim() != 1 or (step.shape[0] != 1 and (x.dim() == 0 or step.shape[0] != x.shape[-1])):
        raise ShapeError(
            f"step has shape {tuple(step.shape)} for x of shape {tuple(x.shape)}; "
            "expected [1] or one step per column [x.shape[-1]]"
        )
    return x.new_empty(x.shape)


def _empty_levels(x: Tensor, levels: Tensor) -> Tensor:
    _check_pair(x, levels, "levels")
    if levels.dim() not in {1, 2} or levels.shape[-1] == 0:
        raise ShapeError(
            f"levels has shape {tuple(levels.shape)}; expected [n] or [cols, n] with n >= 1"
        )
    if levels.dim() == 2 and (x.dim() == 0 or levels.shape[0] != x.shape[-1]):
        raise ConfigError(
            f"levels has {levels.shape[0]} rows for x of shape {tuple(x.shape)}; "
            "expected one row per column of x"
        )
    return x.new_empty(x.shape)


def _uniform_reference(x: Tensor, step: Tensor, lo: float, hi: float) -> Tensor:
    step = step.to(x.dtype)
    return (torch.clamp(torch.round(x / step), lo, hi) * step).contiguous().view(x.shape)


def _levels_reference(x: Tensor, levels: Tensor) -> Tensor:
    table = levels.double()
    middles = (table[..., 1:] + table[..., :-1]) / 2  # exact for float32 levels
    if levels.dim() == 1:
        nearest = levels[torch.searchsorted(middles, x.double().contiguous())]
    else:
        columns = x.double().flatten(0, -2).T if x.dim() > 1 else x.double()[:, None]
        index = torch.searchsorted(middles.contiguous(), columns.contiguous())
        nearest = levels.gather(1, index).T.reshape(x.shape)
    return torch.where(x.isnan(), x, nearest.to(x.dtype)).contiguous()


def _run(name: str, out: Tensor, x: Tensor, *rest: float) -> Tensor:
    place = (x.data_ptr(), x.numel(), *rest, out.data_ptr())
    if x.is_cuda:
        getattr(native.cuda(), name)(*place, *_library.where(x))
    else:
        getattr(native.cpu(), name)(*place)
    return out


def _uniform_native(x: Tensor, step: Tensor, lo: float, hi: float) -> Tensor:
    out = _empty_uniform(x, step, lo, hi)
    if x.dtype != torch.float32 or step.dtype != torch.float32:
        return _uniform_reference(x, step, lo, hi)
    if not x.numel():  # kernels divide by sizes
        return out
    x, step = x.contiguous(), step.contiguous()
    return _run("quantize_uniform", out, x, address(step), step.shape[0], lo, hi)


def _levels_native(x: Tensor, levels: Tensor) -> Tensor:
    out = _empty_levels(x, levels)
    if x.dtype != torch.float32 or levels.dtype != torch.float32:
        return _levels_reference(x, levels)
    if not x.numel():
        return out
    if levels.numel() >= _MOST_LEVELS:
        return _levels_reference(x, levels)
    x, levels = x.contiguous(), levels.contiguous()
    columns = levels.shape[0] if levels.dim() == 2 else 1
    return _run("quantize_levels", out, x, address(levels), levels.shape[-1], columns)


_UNIFORM = _library.register(
    "quantize_uniform(Tensor x, Tensor step, float lo, float hi) -> Tensor",
    fake=_empty_uniform,
    reference=_uniform_reference,
    kernel=_uniform_native,
    mapped=elementwise,
)
_LEVELS = _library.register(
    "quantize_levels(Tensor x, Tensor levels) -> Tensor",
    fake=_empty_levels,
    reference=_levels_reference,
    kernel=_levels_native,
    mapped=elementwise,
)
