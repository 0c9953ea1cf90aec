"""`torch.nn.Conv1d`, `Conv2d` and `Conv3d` on crossbars."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.layer import Operand, Trial
from memcore.crossbar.transforms import is_transformed
from memcore.errors import ShapeError
from memcore.nn.blocks import in_blocks
from memcore.nn.single import SingleMatrix
from memcore.ops.surrogate import through_convolution
from memcore.ops.windows import Images, Window

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)


class Conv(SingleMatrix):
    """`torch.nn.Conv1d`, `Conv2d` and `Conv3d` on crossbars.

    Each output position is one read: the inputs under the kernel drive the word lines.
    """

    replaces = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        padding: list[int] = module._reversed_padding_repeated_twice  # type: ignore[assignment]
        self._padding = padding
        #: Zeros in front of an image and behind it, in the order of its dimensions.
        self._zeros = (tuple(padding[-2::-2]), tuple(padding[::-2]))

    @classmethod
    def trials(cls) -> list[Trial]:
        return [
            (nn.Conv1d(2, 4, 3, padding="same", padding_mode="circular"), (torch.randn(3, 2, 8),)),
            (nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2), (torch.randn(2, 4, 6, 5),)),
            (nn.Conv3d(2, 3, 2, dilation=2, bias=False), (torch.randn(2, 2, 4, 4, 4),)),
        ]

    def operands(self) -> dict[str, Operand]:
        weight = self.weight.reshape(self.groups, self.out_channels // self.groups, -1)
        return {"weight": Operand(weight, self.bias)}

    def shaped(self, matrix: Tensor) -> Tensor:
        return matrix.reshape(self.out_channels, -1, *self.kernel_size)

    def forward(self, input: Tensor) -> Tensor:
        """[n, in_channels, *space] to [n, out_channels, *positions], or the same without n."""
        dims = len(self.kernel_size)
        if input.dim() not in (dims + 1, dims + 2) or input.shape[-dims - 1] != self.in_channels:
            raise ShapeError(
                f"input has shape {list(input.shape)}; expected [n, {self.in_channels}, *space] or "
                f"[{self.in_channels}, *space] with {dims} dimension(s) of space"
            )
        matrix = self.matrix
        if matrix.reads_exactly:
            return self._convolve(input)
        counted = matrix.counts_exactly
        if counted is not None:
            matrix.require_dtype(input, counted.folded.dtype)
            applied = matrix.crossbar.input(input)
            x = applied if input.dim() == dims + 2 else applied.unsqueeze(0)
            counted.saw_images(Images(*self._reached(x)), applied=True)
            return self._convolve(input, applied)
        batched = input if input.dim() == dims + 2 else input.unsqueeze(0)
        with matrix.one_read():
            y = self._of_images(batched)
            if y is None:
                y = self._of_windows(batched)
        return y if input.dim() == dims + 2 else y.squeeze(0)

    def _of_images(self, x: Tensor) -> Tensor | None:
        """Outputs of arrays that read images as they are; None where windows must be read."""
        return self.matrix.convolved(self._images(x), self.operands()["weight"])

    def _images(self, x: Tensor) -> Images:
        """What windows are read of: zeros around images are no part of them."""
        return Images(*self._reached(x), not channels_last(x))

    def _reached(self, x: Tensor) -> tuple[Tensor, Window]:
        """Images with what is around them, zeros aside, and what is read at each position."""
        if self.padding_mode == "zeros":
            return x, Window(self.kernel_size, self.stride, self.dilation, *self._zeros)
        return self._padded(x), self._window

    def _of_windows(self, x: Tensor) -> Tensor:
        """Outputs of arrays whose inputs are written out, position by position."""
        padded = self._padded(x)
        y = self._through(padded) if self._is_straight(padded) else self._windowed(padded)
        # As torch has them, for `.view` behind the layer.
        return y if channels_last(x) else y.contiguous()

    def _windowed(self, x: Tensor) -> Tensor:
        """Padded images [n, channels, *space] to [n, out_channels, *positions]."""
        return in_blocks(self, x, self._values(x), self._read).movedim(-1, 1)

    def _is_straight(self, x: Tensor) -> bool:
        """Whether gradients take a convolution of their own, for which no windows are kept."""
        needed = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        return needed and not self.matrix.keeps_windows and not is_transformed(x, self.weight)

    def _through(self, x: Tensor) -> Tensor:
        """As `_windowed`, with gradients."""
        operand = self.operands()["weight"]
        with torch.no_grad():
            y = self._windowed(x)
            effective = self.matrix.weight_of_read(operand)
        with torch.autocast(x.device.type, enabled=False):
            applied = self.crossbar.input(x.to(effective.dtype))
        return through_convolution(y, applied, *operand, effective, self._window)

    @property
    def _window(self) -> Window:
        """What is read at each position of images that have their padding."""
        none = (0,) * len(self.kernel_size)
        return Window(self.kernel_size, self.stride, self.dilation, none, none)

    def _values(self, x: Tensor) -> int:
        """How many inputs the windows of a padded image have together."""
        values = self.in_channels * math.prod(self.kernel_size)
        shape = zip(x.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True)
        for space, size, stride, dilation in shape:
            values *= (space - dilation * (size - 1) - 1) // stride + 1
        return values

    def _read(self, x: Tensor) -> Tensor:
        """Padded images [n, channels, *space] to [n, *positions, out_channels]."""
        dims = len(self.kernel_size)
        windows = self._window.cut(x, self.groups)
        y = self.read("weight", windows.flatten(0, dims))
        return y.reshape(*windows.shape[: dims + 1], self.out_channels)

    def _convolve(self, x: Tensor, applied: Tensor | None = None) -> Tensor:
        """The convolution that exact reads are, with what the DAC makes of images."""
        convolve = _CONVOLUTIONS[len(self.kernel_size) - 1]
        weight, bias = self.exact()
        matrix, padding = self.matrix, self.padding
        matrix.require_dtype(x, weight.dtype)
        crossbar = matrix.crossbar
        x = crossbar.input(x) if applied is None else applied
        if self.padding_mode != "zeros":
            x, padding = self._padded(x), (0,) * len(self.kernel_size)
        groups = self.groups // crossbar.packing.count
        return convolve(x, weight, bias, self.stride, padding, self.dilation, groups)

    def _padded(self, x: Tensor) -> Tensor:
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        return F.pad(x, self._padding, mode=mode) if any(self._padding) else x

    def extra_repr(self) -> str:
        """As the digital layer prints."""
        digital: nn.Module = self.__dict__["_digital"]
        return digital.extra_repr()


def channels_last(x: Tensor) -> bool:
    """Whether images lie with their channels last, and torch would leave them so."""
    if not torch.compiler.is_compiling() and is_transformed(x):
        return False  # a memory format cannot be asked for
    form = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.dim())
    return form is not None and x.is_contiguous(memory_format=form) and not x.is_contiguous()
