"""One product with the matrix that the cells stand for."""

import torch
from torch import Tensor, nn

from memcore.crossbar.readers.phases import drive


class Exact(nn.Module):
    """Reads without an ADC and without effects.

    Args:
        folded: what the cells stand for, in the weight's domain, [groups, outputs, inputs].
        dac: quantiser of the inputs, None if they are applied exactly.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
    """

    folded: Tensor

    def __init__(self, folded: Tensor, dac: nn.Module | None, *, constant: bool) -> None:
        super().__init__()
        self.register_buffer("folded", folded, persistent=False)
        self.dac = dac
        self.constant = constant

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs].

        Args:
            x: inputs.
            reads: not used: nothing is drawn at a read.
            lines: what drives the word lines, if it is known already.
        """
        del reads
        if lines is None:
            lines = drive(x if self.dac is None else self.dac(x), self.constant)
        return torch.einsum("ngk,gok->ngo", lines, self.folded)
