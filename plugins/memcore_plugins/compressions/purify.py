"""Clearing what pruning left nearly empty."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from memcore import ArraySettings, Compressed, CompressionPass, parameter
from memcore.compression import last_layer, matrix_of, prunable, write_matrix


@dataclass(frozen=True, kw_only=True)
class Purify(CompressionPass):
    """Clear filters and inputs that are nearly empty and of little weight.

    A filter, or an input of all filters, goes if more than `emptiness` of its weights are zero and
    its norm is below `importance` times the mean of its layer. Its cells then are in nobody's way.
    Ma et al., "Tiny but Accurate", ASP-DAC 2020. The filters of the last layer stay.
    """

    emptiness: float = parameter(
        0.9, "1", "share of zeros above which a line is nearly empty", within=(0, 1)
    )
    importance: float = parameter(
        0.1, "1", "norm below which a line may go, as a share of the mean of its layer", at_least=0
    )

    def prepare(
        self, model: nn.Module, config: ArraySettings, inputs: Iterable[Any] | None
    ) -> nn.Module:
        del model, config, inputs
        return nn.Module()

    @torch.no_grad()
    def finalize(self, model: nn.Module, state: nn.Module) -> Compressed:
        del state
        notes, last = {}, last_layer(model)
        for name, module in prunable(model).items():
            matrix = matrix_of(module)
            keep = torch.ones_like(matrix, dtype=torch.bool)
            keep &= ~self._goes(matrix, 1).unsqueeze(1)
            if name != last:
                keep &= ~self._goes(matrix, 2).unsqueeze(2)
            cleared = int(((matrix != 0) & ~keep).sum())
            write_matrix(module, matrix * keep)
            if cleared:
                notes[name] = f"{cleared} weights of nearly empty lines are cleared"
        return Compressed(model=model, notes=notes)

    def _goes(self, matrix: Tensor, along: int) -> Tensor:
        """Which lines go, the weights of a line lying along a dimension."""
        zeros = (matrix == 0).double().mean(along)
        norms = matrix.norm(dim=along)
        there = (norms > 0).sum(1, keepdim=True).clamp(min=1)
        mean = norms.sum(1, keepdim=True) / there
        goes: Tensor = (zeros > self.emptiness) & (norms < self.importance * mean) & (norms > 0)
        return goes
