"""Straight-through gradients: one value goes forward, another takes the gradient."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from memcore.ops.folded import Folded
from memcore.ops.signatures import with_signature
from memcore.ops.windows import Window

P = ParamSpec("P")
R = TypeVar("R")

#: What arrays are driven with, of inputs.
Drive = Callable[[Tensor], Tensor]


def for_training(function: Callable[P, R]) -> Callable[P, R]:
    """Run without gradients, and make tensors that training may use even in inference mode.

    Where that is so already, in a function that such a one calls say, it costs next to nothing.
    """
    normal: Callable[[Callable[P, R]], Callable[P, R]] = torch.inference_mode(False)
    without = torch.no_grad()(function)
    aside = normal(without)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.is_inference_mode_enabled():
            return aside(*args, **kwargs)
        return (without if torch.is_grad_enabled() else function)(*args, **kwargs)

    return run


class _StraightThrough(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(value: Tensor, surrogate: Tensor) -> Tensor:
        del surrogate
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        del inputs, output
        ctx.set_materialize_grads(False)  # no zeros as large as the weights where there is none

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[None, Tensor | None]:
        del ctx
        return None, grad


def straight_through(value: Tensor, surrogate: Tensor | None) -> Tensor:
    """`value`, whose gradient goes to `surrogate` of the same shape, if there is one."""
    if surrogate is not None and torch.is_grad_enabled() and surrogate.requires_grad:
        return _StraightThrough.apply(value, surrogate)  # type: ignore[no-any-return,no-untyped-call]
    return value


def _link(matrix: Tensor) -> Tensor | None:
    """What hands gradients on to a matrix and takes no memory; None where it wants none.

    A backward pass that makes its weights only then connects them by it: had it kept the matrix
    itself, a change of the weights before it would be an error.
    """
    if not (torch.is_grad_enabled() and matrix.requires_grad):
        return None
    return straight_through(matrix.new_zeros(()).expand(matrix.shape), matrix)


class _ThroughProduct(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(value: Tensor, x: Tensor, matrix: Tensor, effective: Tensor) -> Tensor:
        del x, matrix, effective
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        del output
        _, x, _, effective = inputs
        ctx.save_for_backward(x, effective)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None, None]:
        x, effective = ctx.saved_tensors
        _, needs_x, needs_matrix, _ = ctx.needs_input_grad
        return (
            None,
            torch.einsum("ngo,gok->ngk", grad, effective) if needs_x else None,
            torch.einsum("ngo,ngk->gok", grad, x) if needs_matrix else None,
            None,
        )


def through_product(value: Tensor, x: Tensor, matrix: Tensor, effective: Tensor) -> Tensor:
    """`value`, with the gradient of the product that it stands for.

    Args:
        value: outputs of the arrays, [n, groups, outputs].
        x: inputs of the arrays, [n, groups, inputs].
        matrix: weights that take the gradient, [groups, outputs, inputs].
        effective: the weights that the arrays stand for, which the inputs' gradient uses; its own
            derivative is that of the matrix.
    """
    effective = straight_through(effective, matrix)
    return _ThroughProduct.apply(value, x, matrix, effective)  # type: ignore[no-any-return,no-untyped-call]


#: What a read was and what its outputs should change by, as long as nobody has been told.
Heard = list[tuple[Tensor, Tensor]]


#: Called with what drove the word lines and the gradient of the outputs.
Listener = Callable[[Tensor, Tensor], None]


class _Recorded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        x: Tensor,
        matrix: Tensor,
        effective: Tensor,
        link: Tensor | None,
        heard: Heard,
        record: Listener,
    ) -> Tensor:
        ctx.save_for_backward(x, effective, link)
        ctx.heard, ctx.record, ctx.shape = heard, record, matrix.shape
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        x, effective, link = ctx.saved_tensors
        (grad,) = grads
        _, needs_x, needs_matrix, *_ = ctx.needs_input_grad
        of_matrix = None
        if needs_matrix:  # frozen weights pass the gradient on, and hear of nothing
            ctx.heard[:] = [(x, grad)]
            of_matrix = grad.new_zeros(()).expand(ctx.shape)
        of_x = _recorded_back(grad, effective, link, ctx.record) if needs_x else None
        return None, of_x, of_matrix, None, None, None, None


class _RecordedBack(torch.autograd.Function):
    """The product that gradients of inputs are, which has a gradient for the weights itself."""

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, link: Tensor, effective: Tensor, heard: Heard, record: Listener
    ) -> Tensor:
        ctx.save_for_backward(grad, link, effective)
        ctx.heard, ctx.record = heard, record
        return _of_inputs(grad, effective)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        grad, link, effective = ctx.saved_tensors
        (of_x,) = grads
        ctx.heard[:] = [(of_x, grad)]
        of_grad = torch.einsum("ngk,gok->ngo", of_x, effective)
        if torch.is_grad_enabled():
            of_grad = recorded_product(of_grad, of_x, link, effective, ctx.record)
        return of_grad, grad.new_zeros(()).expand(link.shape), None, None, None


def _of_inputs(grad: Tensor, effective: Tensor) -> Tensor:
    return torch.bmm(grad.transpose(0, 1), effective).transpose(0, 1)


def _recorded_back(
    grad: Tensor, effective: Tensor, link: Tensor | None, record: Listener
) -> Tensor:
    """The gradient of inputs; where that has gradients itself, the weights hear of them."""
    if link is None or not torch.is_grad_enabled():
        return _of_inputs(grad, effective)
    heard: Heard = []
    link = _Listening.apply(link, heard, record)  # type: ignore[no-untyped-call]
    return _RecordedBack.apply(grad, link, effective, heard, record)  # type: ignore[no-any-return,no-untyped-call]


class _Listening(torch.autograd.Function):
    """Weights whose gradient is asked for: that of inputs alone, for their own sake, is not."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, heard: Heard, record: Listener) -> Tensor:
        ctx.heard, ctx.record = heard, record
        return matrix.view_as(matrix)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[None, None, None]:
        del grads
        ctx.record(*ctx.heard.pop())
        return None, None, None


def recorded_product(
    value: Tensor,
    x: Tensor,
    matrix: Tensor,
    effective: Tensor,
    record: Listener,
) -> Tensor:
    """As `through_product`, but a backward pass tells `record` instead of the matrix.

    Gradients of gradients are told too: that of an input is a product with the weights as well.

    Args:
        value: outputs of the arrays, [n, groups, outputs].
        x: inputs of the arrays, [n, groups, inputs].
        matrix: weights that get no gradient; a backward pass that would give them one is recorded,
            as `loss.backward()` is, and `torch.autograd.grad` of inputs is not.
        effective: the weights that the arrays stand for, which the inputs' gradient uses.
        record: called with the inputs and the gradient of the outputs.
    """
    heard: Heard = []
    link = _link(matrix)
    if matrix.requires_grad:
        matrix = _Listening.apply(matrix, heard, record)  # type: ignore[no-untyped-call]
    given = value, x, matrix, effective, link, heard, record
    return _Recorded.apply(*given)  # type: ignore[no-any-return,no-untyped-call]


class _ThroughConvolution(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(
        value: Tensor,
        x: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        effective: Tensor,
        window: Window,
    ) -> Tensor:
        del x, matrix, bias, effective, window
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        _, x, matrix, bias, effective, window = inputs
        ctx.save_for_backward(x, effective)
        ctx.window = window
        ctx.of = (matrix.dtype, None if bias is None else bias.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        x, effective = ctx.saved_tensors
        window, (dtype, bias) = ctx.window, ctx.of
        groups, outputs, _ = effective.shape
        none = [0] * len(window.kernel)
        of_x, of_matrix, of_bias = torch.ops.aten.convolution_backward(
            grads[0].to(effective.dtype),
            x,
            effective.reshape(groups * outputs, -1, *window.kernel),
            bias,
            window.stride,
            none,
            window.dilation,
            False,
            none,
            groups,
            ctx.needs_input_grad[1:4],
        )
        of_matrix = None if of_matrix is None else of_matrix.reshape(effective.shape).to(dtype)
        return None, of_x, of_matrix, None if of_bias is None else of_bias.to(dtype), None, None


def through_convolution(
    value: Tensor,
    x: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    effective: Tensor,
    window: Window,
) -> Tensor:
    """`value`, with the gradient of the convolution that it stands for, which keeps no windows.

    Args:
        value: outputs of the arrays, the bias added, [n, groups * outputs, *positions].
        x: images with their padding as the arrays are driven, [n, channels, *space].
        matrix: weights that take the gradient, [groups, outputs, inputs].
        bias: biases that take the gradient, [groups * outputs], or None.
        effective: the weights that the arrays stand for, which the inputs' gradient uses.
        window: what is read at each position of `x`.
    """
    effective = straight_through(effective, matrix)
    return _ThroughConvolution.apply(value, x, matrix, bias, effective, window)  # type: ignore[no-any-return,no-untyped-call]


class _ThroughImages(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        x: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        folded: Folded,
        link: Tensor | None,
        window: Window,
        drive: Drive | None,
    ) -> Tensor:
        ctx.save_for_backward(x, link, *folded)
        ctx.window, ctx.drive = window, drive
        ctx.of = (matrix.dtype, None if bias is None else bias.shape)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        x, link, *folded = ctx.saved_tensors
        effective = straight_through(Folded(*folded).weight, link)
        (dtype, bias), needs = ctx.of, ctx.needs_input_grad[1:4]
        again, lines = _driven(ctx.drive, x, needs[0])
        grad = grads[0].to(effective.dtype)
        of_x, of_matrix, of_bias = _of_convolution(grad, lines, effective, bias, ctx.window, needs)
        of_x = None if of_x is None else _pulled(again, lines, of_x)
        of_matrix = None if of_matrix is None else of_matrix.to(dtype)
        of_bias = None if of_bias is None else of_bias.to(dtype)
        return None, of_x, of_matrix, of_bias, None, None, None, None


def _of_convolution(
    grad: Tensor,
    lines: Tensor,
    effective: Tensor,
    bias: torch.Size | None,
    window: Window,
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of images without their padding, of the matrix, and of the bias."""
    groups, outputs, _ = effective.shape
    is_even = window.before == window.after
    of_x, of_matrix, of_bias = torch.ops.aten.convolution_backward(
        grad,
        lines if is_even else window.padded(lines),
        effective.reshape(groups * outputs, -1, *window.kernel),
        bias,
        window.stride,
        window.before if is_even else [0] * len(window.kernel),
        window.dilation,
        False,
        [0] * len(window.kernel),
        groups,
        needs,
    )
    if of_x is not None and not is_even:
        for dim, (before, size) in enumerate(zip(window.before, lines.shape[2:], strict=True)):
            of_x = of_x.narrow(dim + 2, before, size)
    return of_x, None if of_matrix is None else of_matrix.reshape(effective.shape), of_bias


def through_images(
    value: Tensor,
    x: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    folded: Folded,
    window: Window,
    drive: Drive | None,
) -> Tensor:
    """As `through_convolution` of the images that arrays are driven with, which nobody keeps.

    Args:
        value: outputs of the arrays, the bias added, [n, groups * outputs, *positions].
        x: images without their padding, [n, channels, *space].
        matrix: weights that take the gradient, [groups, outputs, inputs].
        bias: biases that take the gradient, [groups * outputs], or None.
        folded: what the arrays stand for, which the inputs' gradient uses.
        window: what is read at each position of `x`.
        drive: what the arrays are driven with, of `x`; None for `x` itself.
    """
    link = _link(matrix)
    return _ThroughImages.apply(value, x, matrix, bias, folded, link, window, drive)  # type: ignore[no-any-return,no-untyped-call]


class _ThroughRead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        x: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        folded: Folded | None,
        link: Tensor | None,
        drive: Drive | None,
    ) -> Tensor:
        del matrix
        ctx.save_for_backward(x, link, *(folded or ()))
        ctx.drive = drive
        ctx.bias = None if bias is None else bias.shape
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        x, link, *folded = ctx.saved_tensors
        _, needs_x, needs_matrix, needs_bias, *_ = ctx.needs_input_grad
        again, lines = _driven(ctx.drive, x, needs_x)
        (grad,) = grads
        of_x = of_matrix = None
        if needs_x:  # before there is a gradient of the weights, to have but one as large as they
            of_x = _pulled(again, lines, _of_lines(grad, Folded(*folded), link))
        if needs_matrix:
            of_matrix = torch.bmm(grad.permute(1, 2, 0), lines.transpose(0, 1))
        of_bias = grad.sum(0).reshape(ctx.bias) if needs_bias else None
        return None, of_x, of_matrix, of_bias, None, None, None


def _of_lines(grad: Tensor, folded: Folded, link: Tensor | None) -> Tensor:
    """The gradient of what arrays are driven with, [n, groups, inputs]."""
    return _of_inputs(grad, straight_through(folded.weight, link))


def through_read(
    value: Tensor,
    x: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    folded: Folded | None,
    drive: Drive | None,
) -> Tensor:
    """As `through_product` of what arrays are driven with, which nobody keeps.

    Args:
        value: outputs of the arrays, the bias added, [n, groups, outputs].
        x: inputs, [n, groups, inputs].
        matrix: weights that take the gradient, [groups, outputs, inputs].
        bias: biases that take the gradient, or None; as many values as a read has.
        folded: what the arrays stand for; None where x wants no gradient.
        drive: what the arrays are driven with, of `x`; None for `x` itself.
    """
    link = None if folded is None else _link(matrix)
    return _ThroughRead.apply(value, x, matrix, bias, folded, link, drive)  # type: ignore[no-any-return,no-untyped-call]


def _driven(drive: Drive | None, x: Tensor, needs_x: bool) -> tuple[Tensor, Tensor]:
    """The inputs and what arrays are driven with, connected where a gradient goes back."""
    if drive is None:
        return x, x
    if torch.is_grad_enabled() and x.requires_grad:  # gradients of gradients
        return x, drive(x)
    with torch.set_grad_enabled(needs_x):
        again = x.detach().requires_grad_(needs_x)
        return again, drive(again)


def _pulled(x: Tensor, lines: Tensor, grad: Tensor) -> Tensor:
    """The gradient of inputs of that of what arrays are driven with."""
    if lines is x:
        return grad
    (pulled,) = torch.autograd.grad(lines, x, grad, create_graph=torch.is_grad_enabled())
    return pulled


class _ThroughRange(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    @with_signature
    def forward(value: Tensor, x: Tensor, peak: Tensor, decay: float) -> Tensor:
        del x, peak, decay
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        _, x, peak, decay = inputs
        ctx.save_for_backward(x, peak)
        ctx.decay = decay

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[None, Tensor | None, Tensor | None, None]:
        x, peak = ctx.saved_tensors
        (grad,) = grads
        _, needs_x, needs_peak, _ = ctx.needs_input_grad
        of_x = grad * (x.abs() <= peak) if needs_x else None
        return None, of_x, _of_peak(grad, x, peak, ctx.decay) if needs_peak else None, None


def _of_peak(grad: Tensor, x: Tensor, peak: Tensor, decay: float) -> Tensor:
    above, below = x >= peak, x <= -peak
    wider = (grad.clamp(max=0) * above).sum() - (grad.clamp(min=0) * below).sum()
    inside = 1 - (above | below).to(peak.dtype).mean()
    return peak * (wider + torch.where(inside > _MOSTLY, decay, 0.0))


#: Share of unclipped inputs above which a learned range shrinks.
_MOSTLY = 0.95


def through_range(value: Tensor, x: Tensor, peak: Tensor, decay: float) -> Tensor:
    """`value`, what a DAC with the range [-peak, peak] makes of `x`, with gradients for both.

    That of x passes where `|x| <= peak` and is 0 beyond. That of the peak is
    `peak (sum of min(g, 0) where x >= peak, less the sum of max(g, 0) where x <= -peak)`, so that a
    range grows where larger inputs would make the loss smaller, plus `decay * peak` where more than
    95 % of the inputs are inside. No derivative of `clamp` is asked for: at the bound itself, where
    all clipped values are, its value depends on the version of torch.

    Args:
        value: what the DAC makes of the inputs.
        x: the inputs.
        peak: the largest input that is not clipped, [].
        decay: pull towards a smaller range.
    """
    return _ThroughRange.apply(value, x, peak, decay)  # type: ignore[no-any-return,no-untyped-call]
