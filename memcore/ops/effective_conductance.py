"""The matrix of a crossbar with line resistance."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from memcore import native
from memcore.errors import ConfigError
from memcore.ops import _effective_reference, _library
from memcore.ops._library import large_pages
from memcore.wires import Wires

#: What is kept for the gradient, at most; beyond, the gradient costs one more solution. An array of
#: 128 x 128 in float64 needs 6.5 MB, one of 512 x 512 needs 153 MB.
KEPT_BYTES = 2**30

_HAS_KERNEL = native.cpu() is not None


def effective_conductance(g: Tensor, wires: Wires) -> Tensor:
    """Return the matrix that a crossbar of ohmic cells computes, its wires included.

    The currents of the bit lines are exactly `v @ A` for voltages `v` [..., rows] of the drivers.
    `A` costs O(n^3) operations for n x n cells and is needed once for each state of the cells.
    Columns that are subtracted from each other belong to one array if they share its word lines,
    but positive and negative parts must never be subtracted before: `A` is not linear in `g`.

    On CUDA, and without the native module, the PyTorch reference runs.

    Args:
        g: conductances [..., rows, cols] in siemens, at least 0, float32 or float64; rows are word
            lines, cols bit lines. Leading dimensions are arrays of their own.
        wires: resistances, on g's device if they are tensors.

    Returns:
        [..., rows, cols] in siemens, of g's dtype. Gradients with respect to `g` and tensors of
        `wires` are computed by the adjoint method; there are no second derivatives. Where a line
        is driven (sensed) at both ends and has no resistance at all, the derivatives with respect
        to its resistances do not exist, and what is returned for them means nothing.

    Raises:
        TypeError: if dtypes differ or are not float32 or float64, or `wires` is something else.
        ValueError: if a shape or a device does not fit, or a conductance is negative, infinite or
            NaN.
    """
    straight, word, bit, flips = canonical(g, wires)
    inputs = [
        each.flatten(0, -3) if each.dim() > 2 else each[None] for each in (straight, word, bit)
    ]
    ends = (wires.drive == "both", wires.sense_at == "both")
    if not torch.is_grad_enabled() or not any(each.requires_grad for each in inputs):
        out = _SOLVE(*inputs, *ends)
    else:
        out = cast(Tensor, _Adjoint.apply(*inputs, *ends))  # type: ignore[no-untyped-call]
    out = out.view(g.shape)
    return out.flip(flips) if flips else out


def canonical(g: Tensor, wires: Wires) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Return g and all segments, turned so that the drivers are left and the sense nodes below.

    The resistances of drivers and sense nodes are in those of the segments next to them; the far
    end's come last along a word line and first along a bit line. The list has the dimensions that
    were reversed.
    """
    straight, word, bit, flips = lines(g, wires)
    return straight, word.all(g), bit.all(g), flips


class Lines(NamedTuple):
    """The segments of all word lines or all bit lines; a number stands for all of them."""

    shape: tuple[int, ...]  #: [..., rows, cols (+ 1)] or [..., rows (+ 1), cols]
    inner: float | Tensor  #: of this shape, except for the segments at the ends
    ends: dict[int, float | Tensor]  #: [..., lines], by their place along the line; near end first
    dim: int  #: along the line

    def all(self, like: Tensor) -> Tensor:
        """Return a tensor of all segments."""
        if isinstance(self.inner, Tensor):
            out = self.inner.clone(memory_format=torch.contiguous_format)
        else:
            out = like.new_full(self.shape, self.inner)
        for at, ohm in self.ends.items():
            if isinstance(ohm, Tensor):
                out.select(self.dim, at).copy_(ohm)
            elif isinstance(self.inner, Tensor) or ohm != self.inner:
                out.select(self.dim, at).fill_(ohm)
        return out


def lines(g: Tensor, wires: Wires) -> tuple[Tensor, Lines, Lines, list[int]]:
    """Return what `canonical` does, without a tensor where a number says it all."""
    check_conductances(g)
    check_wires(wires)
    *batch, rows, cols = g.shape
    ends = ((-1, wires.drive == "right"), (-2, wires.sense_at == "top"))
    flips = [dim for dim, flip in ends if flip]
    turned = [[-1] if dim in flips else [] for dim in (-2, -1)]
    far = wires.drive == "both", wires.sense_at == "both"
    shapes = (*batch, rows, cols + far[0]), (*batch, rows + far[1], cols)
    word = _spread("word_line", wires.word_line, g, shapes[0], flips)
    bit = _spread("bit_line", wires.bit_line, g, shapes[1], flips)
    driver = _spread("driver", wires.driver, g, (*batch, rows), turned[0])
    sense = _spread("sense", wires.sense, g, (*batch, cols), turned[1])
    at = (0, -1)[: 1 + far[0]], (-1, 0)[: 1 + far[1]]
    return (
        g.flip(flips) if flips else g,
        Lines(shapes[0], word, _ends(word, wires.first, driver, at[0], -1), -1),
        Lines(shapes[1], bit, _ends(bit, wires.last, sense, at[1], -2), -2),
        flips,
    )


def check_wires(wires: object) -> None:
    """Refuse what is no description of wires."""
    if not isinstance(wires, Wires):
        raise TypeError(
            f"wires is a {type(wires).__name__}, expected Wires: Wires(word_line=..., "
            "bit_line=...) with the ohm of a segment"
        )


def check_cells(g: Tensor) -> None:
    """Refuse what is no array [..., rows, cols], whatever its entries."""
    if not isinstance(g, Tensor):
        raise TypeError(f"g is a {type(g).__name__}, expected a tensor: use torch.as_tensor(g)")
    if g.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"g is {g.dtype}, expected float32 or float64: use g.float()")
    if g.dim() < 2 or 0 in g.shape[-2:]:
        raise ConfigError(f"g has shape {list(g.shape)}, expected [..., rows, cols], not empty")


def check_conductances(g: Tensor) -> None:
    """Refuse what no array [..., rows, cols] in siemens can be."""
    check_cells(g)
    if torch.compiler.is_compiling() or g.is_meta or not g.numel():
        return
    lowest, highest = map(float, g.detach().aminmax())  # NaN if there is one
    if not 0 <= lowest <= highest < math.inf:
        raise ValueError(
            f"g has negative entries or NaN, or infinite ones (lowest {lowest:.3g}, highest "
            f"{highest:.3g}), expected siemens, at least 0 and finite"
        )


def _spread(
    name: str, value: float | Tensor, g: Tensor, shape: tuple[int, ...], flips: list[int]
) -> float | Tensor:
    if not isinstance(value, Tensor):
        return value
    if value.dtype != g.dtype:
        raise TypeError(f"{name} is {value.dtype}, but g is {g.dtype}: convert one of them")
    if value.device != g.device:
        raise ValueError(f"{name} is on {value.device}, but g is on {g.device}: move one of them")
    try:
        spread = value.expand(shape)
    except RuntimeError:
        raise ValueError(
            f"{name} has shape {list(value.shape)}, expected one that broadcasts to {list(shape)}"
        ) from None
    return spread.flip(flips) if flips else spread


def _ends(
    inner: float | Tensor, keep: bool, series: float | Tensor, at: tuple[int, ...], dim: int
) -> dict[int, float | Tensor]:
    """The segments at the ends of lines, with what is in series with them."""
    if not keep:
        return dict.fromkeys(at, series)
    return {k: (inner.select(dim, k) if isinstance(inner, Tensor) else inner) + series for k in at}


def _expect(name: str, tensor: Tensor, g: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {list(tensor.shape)}, expected {list(shape)}")
    if tensor.dtype != g.dtype:
        raise TypeError(f"{name} is {tensor.dtype}, but g is {g.dtype}: convert one of them")
    if tensor.device != g.device:
        raise ValueError(f"{name} is on {tensor.device}, but g is on {g.device}: move one of them")


def _empty(g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool) -> Tensor:
    if g.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"g is {g.dtype}, expected float32 or float64")
    if g.dim() != 3:
        raise ValueError(f"g has shape {list(g.shape)}, expected [arrays, rows, cols]")
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
    if g.is_cuda:
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
    if g.is_cuda:
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
        by_reference = not _HAS_KERNEL or g.device.type != "cpu"
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
