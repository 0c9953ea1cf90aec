"""`torch.nn.Bilinear` on crossbars."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.layer import Operand, Trial
from memcore.errors import ShapeError
from memcore.nn.blocks import in_blocks
from memcore.nn.single import SingleMatrix


class Bilinear(SingleMatrix):
    """`torch.nn.Bilinear` on crossbars: each pair of vectors is one read.

    The products of every number of the first vector with every one of the second are digital. They
    drive the word lines, so that all sums are those of bit lines.
    """

    replaces = (nn.Bilinear,)

    in1_features: int
    in2_features: int
    out_features: int

    @classmethod
    def trials(cls) -> list[Trial]:
        return [
            (nn.Bilinear(3, 4, 5), (torch.randn(6, 3), torch.randn(6, 4))),
            (nn.Bilinear(4, 2, 3, bias=False), (torch.randn(2, 3, 4), torch.randn(2, 3, 2))),
        ]

    def operands(self) -> dict[str, Operand]:
        return {"weight": Operand(self.weight.flatten(1).unsqueeze(0), self.bias)}

    def shaped(self, matrix: Tensor) -> Tensor:
        return matrix.reshape(self.out_features, self.in1_features, self.in2_features)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """Outputs [..., out_features] of [..., in1_features] and [..., in2_features]."""
        sizes = self.in1_features, self.in2_features
        fits = input1.dim() and input2.dim() and input1.shape[:-1] == input2.shape[:-1]
        if not fits or (input1.shape[-1], input2.shape[-1]) != sizes:
            raise ShapeError(
                f"inputs have shapes {list(input1.shape)} and {list(input2.shape)}; expected "
                f"[..., {sizes[0]}] and [..., {sizes[1]}], otherwise the same"
            )
        is_exact = self.matrix.reads_exactly and self.crossbar.config.dac is None
        if is_exact or not torch.is_autocast_enabled(input1.device.type):
            for each in (input1, input2):  # before a product of the two has the dtype of one
                self.matrix.require_dtype(each, self.crossbar.folded.dtype)
        if is_exact:
            weight, bias = self.exact()
            return F.bilinear(input1, input2, weight, bias)
        pairs = torch.cat([input1, input2], dim=-1).reshape(-1, sum(sizes))
        y = in_blocks(self, pairs, sizes[0] * sizes[1], self._read)
        return y.reshape(*input1.shape[:-1], self.out_features)

    def _read(self, pairs: Tensor) -> Tensor:
        first, second = torch.split(pairs, [self.in1_features, self.in2_features], dim=1)
        products = first.unsqueeze(2) * second.unsqueeze(1)
        return self.read("weight", products.flatten(1).unsqueeze(1)).squeeze(1)

    def extra_repr(self) -> str:
        """As the digital layer prints."""
        digital: nn.Module = self.__dict__["_digital"]
        return digital.extra_repr()
