"""Line resistance as a resistor in series with each cell."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import ArrayInfo, Context, NonIdeality, Product
from memcore_plugins.nonidealities._wiring import Wiring
from memcore_plugins.nonidealities.ir_drop import IrDrop


@dataclass(frozen=True, kw_only=True)
class IrDropSeries(Wiring):
    """Each cell alone with the wires between its driver and its sense node.

        1 / A_ij = 1 / G_ij + driver + (j + 1) r_word + (M - i) r_bit + sense

    for cell (i, j) of M word lines, as NeuroSim estimates it. It leaves out that the cells of a
    line share its current, so it is far too optimistic for arrays in which many cells conduct:
    `memcore.diagnose` says by how much.
    """

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        word, bit = self.resistances
        down = torch.arange(array.rows, 0, -1, device="cpu").unsqueeze(1) * bit
        across = torch.arange(1, array.cols + 1, device="cpu") * word
        return _InSeries(down + across + self.driver + self.sense).to(ctx.torch_device)

    def exact(self) -> NonIdeality:
        word, bit = self.resistances
        return IrDrop(word_line=word, bit_line=bit, driver=self.driver, sense=self.sense)


class _InSeries(Product):
    wire: Tensor

    def __init__(self, wire: Tensor) -> None:
        super().__init__()
        self.register_buffer("wire", wire)

    def matrix(self, g: Tensor) -> Tensor:
        return g / (1 + g * self.wire)
