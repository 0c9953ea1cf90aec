"""The operator that eliminates all nodes of an array but drivers and sense nodes."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from memcore import native
from memcore.errors import ArgumentTypeError, ShapeError
from memcore.ops import _effective_reference, _library
from memcore.ops._library import large_pages
from memcore.ops.checks import require_same_device, require_same_dtype, require_shape

#: What is kept for the gradient, at most; beyond, the gradient costs one more solution. An array of
#: 128 x 128 in float64 needs 6.5 MB, one of 512 x 512 needs 153 MB.
KEPT_BYTES = 2**30

_HAS_KERNEL = native.cpu() is not None


def solve(g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool) -> Tensor:
    """The matrix [arrays, rows, cols] of cells and segments; differentiable in all three."""
    inputs = (g, word, bit)
    if not torch.is_grad_enabled() or not any(each.requires_grad for each in inputs):
        return _SOLVE(*inputs, drive_both, sense_both)
    out = _Adjoint.apply(*inputs, drive_both, sense_both)  # type: ignore[no-untyped-call]
    return cast(Tensor, out)


def _expect(name: str, tensor: Tensor, g: Tensor, shape: tuple[int, ...]) -> None:
    require_shape(name, tensor, shape)
    require_same_dtype(name, tensor, "g", g)
    require_same_device(name, tensor, "g", g)


def _empty(g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool) -> Tensor:
    if g.dtype not in (torch.float32, torch.float64):
        raise ArgumentTypeError(f"g is {g.dtype}; expected float32 or float64")
    if g.dim() != 3:
        raise ShapeError(f"g has shape {list(g.shape)}; expected [arrays, rows, cols]")
    arrays, rows, cols = g.shape
    _expect("word", word, g, (arrays, rows, cols + drive_both))
    _expect("bit", bit, g, (arrays, rows + sense_both, cols))
    return g.new_empty(g.shape)


def _empty_backward(
    grad: Tensor, g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool
) -> tuple[Tensor, Tensor, Tensor]:
    _expect("grad", grad, g, tuple(g.shape))
    _empty(g, word, bit, drive_both, sense_both)
    return g.new_empty(g.shape), word.new_empty(word.shape), bit.new_empty(bit.shape)


def _kernel(name: str, dtype: torch.dtype) -> Callable[..., float]:
    kind = "double" if dtype == torch.float64 else "float"
    return cast(Callable[..., float], getattr(native.cpu(), f"{name}_{kind}"))


def _native(g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool) -> Tensor:
    out = _empty(g, word, bit, drive_both, sense_both)
    if g.is_cuda or not g.numel():  # the kernels divide arrays that have cells
        return _effective_reference.solve(g, word, bit, drive_both, sense_both)
    inputs = [tensor.contiguous() for tensor in (g, word, bit)]
    addresses = [tensor.data_ptr() for tensor in inputs]
    solve = _kernel("effective_conductance", g.dtype)
    solve(*addresses, *g.shape, drive_both, sense_both, 0, out.data_ptr())
    return out


def _native_backward(
    grad: Tensor,
    g: Tensor,
    word: Tensor,
    bit: Tensor,
    drive_both: bool,
    sense_both: bool,
    *,
    kept: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    out = _empty_backward(grad, g, word, bit, drive_both, sense_both)
    if g.is_cuda or not g.numel():
        return _effective_reference.backward(grad, g, word, bit, drive_both, sense_both)
    inputs = [tensor.contiguous() for tensor in (g, word, bit, grad)]
    *addresses, grad_address = [tensor.data_ptr() for tensor in inputs]
    solve = _kernel("effective_conductance_backward", g.dtype)
    ends = (drive_both, sense_both, _library.address(kept))
    solve(*addresses, *g.shape, *ends, grad_address, *(tensor.data_ptr() for tensor in out))
    return out


def _native_keeping(
    g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool
) -> tuple[Tensor, Tensor | None]:
    """Return also what the gradient would otherwise compute again, if there is room for it."""
    size = _kernel("effective_conductance_kept", g.dtype)(*g.shape[1:], drive_both, sense_both)
    count = int(size) * g.shape[0]
    if count * g.element_size() > KEPT_BYTES:
        return _native(g, word, bit, drive_both, sense_both), None
    out, kept = _empty(g, word, bit, drive_both, sense_both), large_pages(g.new_empty(count))
    inputs = [tensor.contiguous() for tensor in (g, word, bit)]
    addresses = [tensor.data_ptr() for tensor in inputs]
    solve = _kernel("effective_conductance", g.dtype)
    solve(*addresses, *g.shape, drive_both, sense_both, kept.data_ptr(), out.data_ptr())
    return out, kept


_SOLVE = _library.register(
    "effective_conductance(Tensor g, Tensor word, Tensor bit, bool drive_both, bool sense_both) "
    "-> Tensor",
    fake=_empty,
    reference=_effective_reference.solve,
    kernel=_native,
)
_BACKWARD = cast(
    Callable[..., tuple[Tensor, Tensor, Tensor]],
    _library.register(
        "effective_conductance_backward(Tensor grad, Tensor g, Tensor word, Tensor bit, "
        "bool drive_both, bool sense_both) -> (Tensor, Tensor, Tensor)",
        fake=cast(Any, _empty_backward),
        reference=cast(Any, _effective_reference.backward),
        kernel=cast(Any, _native_backward),
    ),
)


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool
    ) -> Tensor:
        ctx.ends = (drive_both, sense_both)
        kept = None
        by_reference = not _HAS_KERNEL or g.device.type != "cpu" or not g.numel()
        if by_reference or torch.compiler.is_compiling() or isinstance(g, FakeTensor):
            out = _SOLVE(g, word, bit, drive_both, sense_both)
        else:
            out, kept = _native_keeping(g, word, bit, drive_both, sense_both)
        ctx.save_for_backward(g, word, bit, kept)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        g, word, bit, kept = ctx.saved_tensors
        if kept is None:
            return *_BACKWARD(grad, g, word, bit, *ctx.ends), None, None
        return *_native_backward(grad, g, word, bit, *ctx.ends, kept=kept), None, None
