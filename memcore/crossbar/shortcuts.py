"""Reads of arrays by one call of a kernel, where nothing else has to be done."""

import torch.nn.functional as F
from torch import Tensor, nn

from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.readers import InOrder, Tiled, Unwritten
from memcore.ops.windows import Images


def convolve(
    crossbar: Crossbar, images: Images, bias: Tensor | None, reader: nn.Module, *, draws: bool
) -> Tensor | None:
    """Outputs of images as `Tiled.convolve` has them; None if their windows must be read.

    Args:
        crossbar: the arrays.
        images: what is read.
        bias: added to the outputs, [groups * outputs]; None for none.
        reader: of the cells.
        draws: whether its reads need numbers of their own.
    """
    if (
        not crossbar.is_set
        or not isinstance(reader, Tiled | InOrder | Unwritten)
        or not reader.reads_images
    ):
        return None
    first = crossbar.first_read(images.x, images.reads) if draws else crossbar.reads
    return reader.convolve(images, first, bias)


def directly(crossbar: Crossbar, x: Tensor, bias: Tensor | None) -> Tensor | None:
    """Outputs of plain inputs, the bias added, as `Tiled.directly` has them; None if it cannot.

    Reads that are exact are one product. There are no gradients.
    """
    if not crossbar.is_set:
        return None
    if crossbar.reads_exactly:
        folded = crossbar.folded
        if len(folded) > 1 or folded.dtype != x.dtype:
            return None
        return F.linear(crossbar.input(x) if crossbar.config.dac else x, folded[0], bias)
    reader = crossbar.reader
    if not isinstance(reader, Tiled) or not reader.reads_directly:
        return None
    first = 0
    if crossbar.is_stochastic:
        with crossbar.lock:
            first = int(crossbar.reads.item())
            crossbar.reads.add_(x.numel() // (crossbar.tiling.groups * x.shape[-1]))
    return reader.directly(x, first, bias)
