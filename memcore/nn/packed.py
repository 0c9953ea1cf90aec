"""`PackedCodes`: weights that take few values, as codes that are decoded when multiplied."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.ops import quantize
from memcore.ops.codebook_product import codebook_product, pack_codes


class PackedCodes(nn.Module):
    """A matrix of codes of 4 or 8 bits, multiplied with the nearest entries of inputs.

    Everything follows from the codes and the codebooks of a layer, so that nothing is in a state.

    Args:
        codes: of the weights, uint8 [outputs, inputs].
        book: what the codes stand for, ascending, at most 256 numbers.
        entries: values that inputs are rounded to, ascending.
    """

    packed: Tensor
    book: Tensor
    entries: Tensor

    def __init__(self, codes: Tensor, book: Tensor, entries: Tensor) -> None:
        super().__init__()
        self.cols = len(codes)
        self.bits = 4 if len(book) <= 16 else 8
        padded = F.pad(book.float(), (0, (1 << self.bits) - len(book)))
        packed = pack_codes(codes.t().contiguous(), self.bits)
        for name, value in (("packed", packed), ("book", padded), ("entries", entries.float())):
            self.register_buffer(name, value, persistent=False)

    @classmethod
    def of(cls, codes: Tensor, book: Tensor, entries: Tensor) -> Self | None:
        """The packed form of codes [outputs, ...]; None where their values are not there."""
        if codes.is_meta or not codes.numel():
            return None
        return cls(codes.flatten(1), book, entries)

    def serves(self, x: Tensor, *others: Tensor | None) -> bool:
        """Whether no gradient is asked for, and everything is in single precision."""
        if x.dtype != torch.float32 or self.book.dtype != torch.float32:
            return False
        asked = any(each is not None and each.requires_grad for each in (x, *others))
        return not (asked and torch.is_grad_enabled())

    def nearest(self, x: Tensor) -> Tensor:
        """The entry nearest to each input, the lower one of two."""
        return quantize.levels(x, self.entries)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Outputs [..., outputs] of inputs [..., inputs]."""
        flat = self.nearest(x).reshape(-1, x.shape[-1])
        y = codebook_product(flat, self.packed, self.book, bias, self.cols, self.bits)
        return y.view(*x.shape[:-1], self.cols)
