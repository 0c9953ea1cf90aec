"""`Driven`: squares of what drives the word lines, weighted and summed up where the inputs lie."""

from collections import OrderedDict
from typing import Final, NamedTuple, Self

import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.forms import UniformLevels
from memcore.ops._library import is_plain
from memcore.ops.weighted_squares import EXACT, plain_squares, weighted_squares
from memcore.ops.windows import Images, Window

#: Sizes of images of which the weights are kept.
_KEPT: Final = 8
_SPREAD: Final = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


class _Known(NamedTuple):
    """What does not depend on the values of images.

    Args:
        weights: of the inputs of one, as they lie in memory, float32.
        around: sum of the weights of the zeros around one.
        reads: windows of all images.
        channels_last: how they lie in memory.
    """

    weights: Tensor
    around: float
    reads: int
    channels_last: bool


class Driven:
    """Sums over reads of squares of what drives each word line, times a weight of the line.

    An input of an image lies under many windows: its weight is the sum of those of the word lines
    that it drives, so that nobody writes windows out.

    Args:
        weights: of each word line, float64 [groups, rows].
        dac: levels of the inputs; None for none.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
    """

    def __init__(self, weights: Tensor, dac: UniformLevels | None, *, constant: bool) -> None:
        self._constant = float(weights[:, -1].sum()) if constant else 0.0
        self._weights = (weights[:, :-1] if constant else weights).contiguous()
        self._flat = self._weights.flatten().float()
        step = 1.0 if dac is None else float(dac.step)
        self._square = step**2
        self._codes = EXACT if dac is None else (float(1 / dac.step), dac.lo, dac.hi)
        #: What drives a word line for an input of 0, which is what lies around an image.
        self._of_zero = 0.0 if dac is None else step * min(max(0.0, dac.lo), dac.hi)
        self._of_images: OrderedDict[tuple[object, ...], _Known] = OrderedDict()

    @classmethod
    def of(cls, weights: Tensor, dac: nn.Module | None, *, constant: bool) -> Self | None:
        """The sums; None for a DAC that is more than one grid of levels through 0."""
        if dac is None:
            return cls(weights, None, constant=constant)
        if type(dac) is not UniformLevels or dac.offset or dac.step.numel() != 1:
            return None
        return cls(weights, dac, constant=constant)

    def of_vectors(self, x: Tensor, *, applied: bool = False) -> tuple[int, float]:
        """The number of reads of inputs [..., inputs] of all groups, and the sum.

        Args:
            x: inputs.
            applied: whether they are behind the DAC.
        """
        vectors = x.numel() // max(1, self._flat.numel())
        return vectors, self._sum(x, vectors, self._flat, applied) + vectors * self._constant

    def of_images(self, images: Images, *, applied: bool = False) -> tuple[int, float]:
        """The same of all windows of images; zeros around them are behind the DAC as they are."""
        x, window, _ = images
        key = (x.shape, x.stride(), window)
        known = self._of_images.get(key)
        if known is None:
            known = self._of_images[key] = self._known(images)
            while len(self._of_images) > _KEPT:
                self._of_images.popitem(last=False)
        values = x.movedim(1, -1) if known.channels_last else x
        total = self._sum(values, x.shape[0], known.weights, applied)
        if self._of_zero and not applied:
            total += known.around * x.shape[0] * self._of_zero**2
        return known.reads, total + known.reads * self._constant

    def _sum(self, x: Tensor, n: int, weights: Tensor, applied: bool) -> float:
        scale, codes = (1.0, EXACT) if applied else (self._square, self._codes)
        if is_plain(x):
            return scale * plain_squares(x, n, weights, codes)
        return scale * weighted_squares(x.float().reshape(n, len(weights)), weights, codes)

    def _known(self, images: Images) -> "_Known":
        x, window, _ = images
        last = not x.is_contiguous() and x.movedim(1, -1).is_contiguous()
        weights, around = self._spread(window, tuple(x.shape[1:]))
        weights = weights.movedim(0, -1) if last else weights
        return _Known(weights.flatten().float(), around, images.reads, last)

    def _spread(self, window: Window, shape: tuple[int, ...]) -> tuple[Tensor, float]:
        """Weights of the inputs of an image [channels, *space], and of all that is around it."""
        channels, *space = shape
        ones = self._weights.new_ones(1, 1, *window.positions(space))
        kernels = self._weights.view(1, channels, *window.kernel)
        spread = _SPREAD[len(space) - 1]
        reached = spread(ones, kernels, stride=window.stride, dilation=window.dilation)[0]
        sides = list(zip(space, window.before, window.after, strict=True))
        whole = reached.new_zeros(channels, *map(sum, sides))
        inside, part = whole, whole
        for dim, (size, before, _) in enumerate(sides, 1):
            part = part.narrow(dim, 0, reached.shape[dim])
            inside = inside.narrow(dim, before, size)
        part.copy_(reached)
        return inside, float(whole.sum() - inside.sum())
