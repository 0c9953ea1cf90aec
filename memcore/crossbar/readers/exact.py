"""One product with the matrix that the cells stand for."""

from typing import Any, Self

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
        self._single: Tensor | None = None
        #: The version of `folded` that cells stand for, if a parameter lies in the same memory.
        self._seen: int | None = None

    def lie_in(self, place: Tensor) -> None:
        """Let `folded` be in memory that a parameter has too, where it is already."""
        self.folded, self._seen = place, place._version

    def lie_alone(self) -> None:
        """Let `folded` have memory of its own again."""
        if self._seen is not None:
            self.folded, self._seen = self.folded.clone(), None

    def was_refolded(self) -> None:
        """Take what a kernel has put into the memory of `folded`."""
        torch.autograd.graph.increment_version(self.folded)
        if self._seen is not None:
            self._seen = self.folded._version

    @property
    def was_overwritten(self) -> bool:
        """Whether somebody has changed the parameter that lies where `folded` does."""
        return self._seen is not None and self.folded._version != self._seen

    @property
    def single(self) -> Tensor | None:
        """`folded` [outputs, inputs] of one group, None of several.

        A view takes as long as a small read, and is kept.
        """
        folded, kept = self._buffers["folded"], self._single
        assert folded is not None
        if kept is None or kept.data_ptr() != folded.data_ptr() or kept.dtype != folded.dtype:
            if folded.shape[0] != 1 or torch.compiler.is_compiling():
                return folded[0] if folded.shape[0] == 1 else None
            kept = self._single = folded.detach()[0]
        return kept

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self._single = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_single": None, "_seen": None}
        if self._seen is not None:  # a copy has a parameter of its own
            state["_buffers"] = {**self._buffers, "folded": self.folded.clone()}
        return state

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
