"""`torch.nn.ConvTranspose1d`, `ConvTranspose2d` and `ConvTranspose3d` on crossbars."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.layer import Operand, Trial
from memcore.errors import ShapeError
from memcore.nn.blocks import in_blocks
from memcore.nn.conv import channels_last
from memcore.nn.single import SingleMatrix

_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


class ConvTranspose(SingleMatrix):
    """`torch.nn.ConvTranspose1d`, `ConvTranspose2d` and `ConvTranspose3d` on crossbars.

    Each input position is one read: its channels drive the word lines, and there is a bit line for
    each output channel and place of the kernel. What overlaps is added digitally, and so is the
    bias, which belongs to output positions.
    """

    replaces = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @classmethod
    def trials(cls) -> list[Trial]:
        return [
            (nn.ConvTranspose1d(3, 4, 3, stride=2, output_padding=1), (torch.randn(3, 3, 5),)),
            (
                nn.ConvTranspose2d(4, 6, (3, 2), stride=2, padding=1, groups=2),
                (torch.randn(2, 4, 3, 4),),
            ),
            (nn.ConvTranspose3d(2, 3, 2, dilation=2, bias=False), (torch.randn(2, 2, 3, 3, 3),)),
        ]

    def operands(self) -> dict[str, Operand]:
        weight = self.weight.reshape(self.groups, self.in_channels // self.groups, -1)
        return {"weight": Operand(weight.transpose(1, 2))}

    @property
    def effective_bias(self) -> Tensor | None:
        """The bias that is added."""
        return self.bias

    def exact(self) -> Operand:
        return Operand(super().exact().weight, self.bias)

    def shaped(self, matrix: Tensor) -> Tensor:
        return matrix.transpose(1, 2).reshape(self.in_channels, -1, *self.kernel_size)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """[n, in_channels, *space] to [n, out_channels, *space], or the same without n.

        Args:
            input: images.
            output_size: of the space, or of the whole output, where the stride leaves a choice;
                `output_padding` decides by default.
        """
        dims = len(self.kernel_size)
        if input.dim() not in (dims + 1, dims + 2) or input.shape[-dims - 1] != self.in_channels:
            raise ShapeError(
                f"input has shape {list(input.shape)}; expected [n, {self.in_channels}, *space] or "
                f"[{self.in_channels}, *space] with {dims} dimension(s) of space"
            )
        beyond = self._beyond(input, output_size)
        if self.matrix.reads_exactly:
            return self._convolve(input, beyond)
        batched = input if input.dim() == dims + 2 else input.unsqueeze(0)
        values = self.out_channels * math.prod((*self.kernel_size, *batched.shape[2:]))
        y = in_blocks(self, batched, values, lambda part: self._added(part, beyond))
        if self.bias is not None:
            y = y + self.bias.view(-1, *[1] * dims).to(y.dtype)
        if not channels_last(batched):
            y = y.contiguous()
        return y if input.dim() == dims + 2 else y.squeeze(0)

    def _convolve(self, x: Tensor, beyond: list[int]) -> Tensor:
        convolve = _TRANSPOSED[len(self.kernel_size) - 1]
        weight, bias = self.exact()
        matrix = self.matrix
        matrix.require_dtype(x, weight.dtype)
        crossbar = matrix.crossbar
        x = crossbar.input(x)
        groups = self.groups // crossbar.packing.count
        return convolve(x, weight, bias, self.stride, self.padding, beyond, groups, self.dilation)

    def _beyond(self, x: Tensor, output_size: list[int] | None) -> list[int]:
        """Output positions of each dimension behind the last one that the kernel reaches."""
        if output_size is None:
            return list(self.output_padding)
        dims = len(self.kernel_size)
        wanted = list(output_size)[-dims:]
        shape = (x.shape[-dims:], self.stride, self.padding, self.dilation, self.kernel_size)
        least = [
            (count - 1) * stride - 2 * padding + dilation * (size - 1) + 1
            for count, stride, padding, dilation, size in zip(*shape, strict=True)
        ]
        most = [low + stride - 1 for low, stride in zip(least, self.stride, strict=True)]
        whole = len(output_size) in (dims, x.dim())
        if not whole or any(not a <= b <= c for a, b, c in zip(least, wanted, most, strict=True)):
            raise ShapeError(
                f"output_size={list(output_size)} for an input of {list(x.shape[-dims:])}; "
                f"expected from {least} to {most}"
            )
        return [size - low for size, low in zip(wanted, least, strict=True)]

    def _added(self, x: Tensor, beyond: list[int]) -> Tensor:
        """The outputs of some images, without bias: what overlaps is added."""
        dims, space = len(self.kernel_size), x.shape[2:]
        rows = x.movedim(1, -1).reshape(-1, self.groups, self.in_channels // self.groups)
        y = self.read("weight", rows)
        y = y.reshape(x.shape[0], *space, self.out_channels, *self.kernel_size)
        # [n, channels, place in the kernel and position of the first dimension, of the second, ...]
        pairs = [dim for k in range(dims) for dim in (dims + 2 + k, 1 + k)]
        y = y.permute(0, dims + 1, *pairs)
        for k in reversed(range(dims)):
            at = 2 + 2 * k
            y = y.movedim((at, at + 1), (-2, -1))
            y = _overlapped(y, self.stride[k], self.dilation[k]).movedim(-1, at)
        edges = zip(reversed(self.padding), reversed(beyond), strict=True)
        return F.pad(y, [cut for padding, more in edges for cut in (-padding, more - padding)])


def _overlapped(y: Tensor, stride: int, dilation: int) -> Tensor:
    """[..., places in the kernel, positions] added up to [..., output positions]."""
    *lead, size, count = y.shape
    length = stride * (count - 1) + dilation * (size - 1) + 1
    if not y.numel():
        return y.new_zeros(*lead, length)
    columns = y.reshape(lead[0], -1, count)
    image = F.fold(columns, (length, 1), (size, 1), dilation=(dilation, 1), stride=(stride, 1))
    return image.view(*lead, length)
