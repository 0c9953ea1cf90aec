"""Reads of arrays by one call of a kernel, where nothing else has to be done."""

import torch.nn.functional as F
from torch import Tensor, nn

from memcore.crossbar.counted import looked_through
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.readers import Exact, InOrder, Serial, Tiled, TiledLanes, Unwritten
from memcore.ops.windows import Images


def convolve(
    crossbar: Crossbar,
    images: Images,
    bias: Tensor | None,
    reader: nn.Module | Unwritten,
    *,
    draws: bool,
) -> Tensor | None:
    """Outputs of images as `Tiled.convolve` has them; None if their windows must be read.

    Args:
        crossbar: the arrays.
        images: what is read.
        bias: added to the outputs, [groups * outputs]; None for none.
        reader: of the cells.
        draws: whether its reads need numbers of their own.
    """
    counted, reader = looked_through(reader)
    if (
        not crossbar.is_set
        or not isinstance(reader, Tiled | TiledLanes | InOrder | Unwritten)
        or not reader.reads_images
    ):
        return None
    first = crossbar.first_read(images.x, images.reads) if draws else crossbar.reads
    if counted is not None:
        counted.saw_images(images)
    return reader.convolve(images, first, bias)


def directly(crossbar: Crossbar, x: Tensor, bias: Tensor | None) -> Tensor | None:
    """Outputs of plain inputs, the bias added, as `Tiled.directly` has them; None if it cannot.

    Reads that are exact are one product. There are no gradients.
    """
    if not crossbar.is_set:
        return None
    counted, reader = looked_through(crossbar.reader)
    if isinstance(reader, Exact):
        held = reader.single
        if held is None or held.dtype != x.dtype or x.shape[-1] != held.shape[1]:
            return None
        applied = crossbar.input(x) if crossbar.config.dac else x
        if counted is not None:
            counted.saw(applied, applied=True)
        return F.linear(applied, held, bias)
    if not isinstance(reader, Serial) and not (isinstance(reader, Tiled) and reader.reads_directly):
        return None
    if x.shape[-1] != crossbar.tiling.rows:
        return None
    first = 0
    if crossbar.is_stochastic:
        with crossbar.lock:
            first = int(crossbar.reads.item())
            crossbar.reads.add_(x.numel() // (crossbar.tiling.groups * x.shape[-1]))
    if counted is not None and reader.scale.is_cpu:
        counted.saw(x)
    return reader.directly(x, first, bias)
