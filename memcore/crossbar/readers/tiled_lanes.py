"""Reads of tiles, lane by lane, through ADCs that have other codes in each lane."""

import dataclasses
from collections.abc import Sequence

from torch import Tensor, nn

from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers.noise import CellNoise
from memcore.crossbar.readers.tiled import Tiled
from memcore.ops.windows import Images


class TiledLanes(nn.Module):
    """What `Tiled` computes, one lane after the other, for kernels know one range of codes each.

    Args:
        lanes: the reader of each lane.
        folded: what the cells of all lanes stand for, in the weight's domain, [groups, outputs,
            inputs].
    """

    folded: Tensor

    def __init__(self, lanes: Sequence[Tiled], folded: Tensor) -> None:
        super().__init__()
        self.lanes = nn.ModuleList(lanes)
        self.register_buffer("folded", folded, persistent=False)
        self.dac, self.constant = lanes[0].dac, lanes[0].constant
        #: Whether the windows of images are read without writing them out.
        self.reads_images = all(lane.reads_images for lane in lanes)

    @property
    def _each(self) -> list[Tiled]:
        return [lane for lane in self.lanes if isinstance(lane, Tiled)]

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs], as `Tiled` has them."""
        first, *others = self._each
        y = first(x, reads, lines)
        for lane in others:
            y = y + lane(x, reads, lines)
        total: Tensor = y
        return total

    def convolve(self, images: Images, reads: Tensor, bias: Tensor | None) -> Tensor:
        """Outputs of images as `Tiled.convolve` has them, if `reads_images`."""
        first, *others = self._each
        y = first.convolve(images, reads, bias)
        for lane in others:
            y = y + lane.convolve(images, reads, None)
        return y


def of_lane(plan: ReadPlan, lane: int) -> tuple[ReadPlan, slice]:
    """The plan of one lane alone, and which of the values are its own."""
    own = [index for index, at in enumerate(plan.values) if at == lane]
    tiling = plan.tiling.of_lane(lane)
    bits = plan.lane_bits[lane] if plan.lane_bits else plan.adc_bits
    alone = dataclasses.replace(plan, tiling=tiling, adc_bits=bits, lane_bits=())
    return alone, slice(own[0], own[-1] + 1)


def noise_of(noise: CellNoise | None, values: slice) -> CellNoise | None:
    """The noise of some values, if each value has one draw of its own, in order."""
    if noise is None:
        return None
    sources = tuple(
        source._replace(value=source.value - values.start) for source in noise.sources[values]
    )
    return CellNoise(sources, noise.variance[values], noise.key + values.start)
