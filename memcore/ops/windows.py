"""`Window`: what a convolution reads at each position of an image; `Images`: what it reads."""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import NamedTuple, Self

import torch.nn.functional as F
from torch import Tensor


class Window(NamedTuple):
    """The inputs under a kernel that moves over images padded with zeros, for each dimension.

    Args:
        kernel: inputs.
        stride: distance from one position to the next one.
        dilation: distance from one input to the next one.
        before: zeros in front of the image.
        after: zeros behind it.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Self:
        """The inverse of `numbers`."""
        dims = len(numbers) // 5
        return cls(*(tuple(numbers[k * dims : (k + 1) * dims]) for k in range(5)))

    @property
    def numbers(self) -> list[int]:
        """All fields one after another, as operators take them."""
        return list(chain(*self))

    def positions(self, space: Sequence[int]) -> list[int]:
        """Positions in images of this size; none or fewer where the kernel is larger."""
        return [
            (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, dilation, before, after in zip(space, *self, strict=True)
        ]

    def padded(self, x: Tensor) -> Tensor:
        """Images [n, channels, *space] with the zeros around them."""
        pairs = zip(reversed(self.before), reversed(self.after), strict=True)
        padding = list(chain(*pairs))
        return F.pad(x, padding) if any(padding) else x

    def cut(self, x: Tensor, groups: int) -> Tensor:
        """Inputs of each position, [n, *positions, groups, rows], of padded images."""
        dims = len(self.kernel)
        shape = zip(self.kernel, self.stride, self.dilation, strict=True)
        for dim, (size, stride, dilation) in enumerate(shape):
            x = x.unfold(dim + 2, dilation * (size - 1) + 1, stride)[..., ::dilation]
        x = x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
        return x.movedim((1, 2), (dims + 1, dims + 2)).flatten(dims + 2)


class Images(NamedTuple):
    """What a convolution reads.

    Args:
        x: images, [n, channels, *space].
        window: what is read at each position.
        channels_first: whether results lie in memory by channels, not by positions.
    """

    x: Tensor
    window: Window
    channels_first: bool = True

    @property
    def positions(self) -> list[int]:
        """Positions in each dimension."""
        return self.window.positions(self.x.shape[2:])

    @property
    def reads(self) -> int:
        """Number of windows of all images."""
        return self.x.shape[0] * prod(self.positions)
