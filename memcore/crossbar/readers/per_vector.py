"""Each vector of inputs scaled to its own largest magnitude before it is read, and back behind."""

import torch
from torch import Tensor, nn


class PerVector(nn.Module):
    """A reader that sees vectors whose largest magnitude is 1.

    Args:
        reader: what reads them, with what is around it.
    """

    def __init__(self, reader: nn.Module) -> None:
        super().__init__()
        self.reader = reader

    @property
    def folded(self) -> Tensor:
        """As the reader has it."""
        folded: Tensor = self.reader.folded  # type: ignore[assignment]
        return folded

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: how many reads there were before.
            lines: not used: scaled and back, it would not be to the bit what the DAC applies.
        """
        del lines
        size = sizes(x)
        y: Tensor = self.reader(x / size, reads)
        return y * size


def sizes(x: Tensor) -> Tensor:
    """The largest magnitude of each vector [..., inputs], [..., 1]; 1 where all is zero."""
    peak = x.abs().amax(-1, keepdim=True)
    return torch.where(peak > 0, peak, torch.ones_like(peak))
