"""Gradients added up digitally, and pulses for whole steps of them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import Context, PulsedWeights, UpdateRule, parameter


@dataclass(frozen=True, kw_only=True)
class MixedPrecision(UpdateRule):
    """A digital memory chi of each weight collects `-lr d x`; what exceeds a pulse is pulsed.

        chi -> chi - lr d x;    n = trunc(chi / granularity) pulses;    chi -> chi - n granularity

    Nandakumar et al., "Mixed-precision deep learning based on computational memory", Front.
    Neurosci. 14:406 (2020), doi 10.3389/fnins.2020.00406. The product is digital work of the size
    of the matrix for each vector, which trains of pulses do without.
    """

    every: int = parameter(1, "1", "vectors between two transfers", at_least=1)
    most: int = parameter(1_000_000, "1", "most pulses of a weight in one transfer", at_least=1)

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        del ctx
        (only,) = weights
        return _Trainer(self, only)


class _Trainer(nn.Module):
    chi: Tensor
    vectors: Tensor

    def __init__(self, rule: MixedPrecision, weights: PulsedWeights) -> None:
        super().__init__()
        self._rule, self._weights = rule, (weights,)
        self.register_buffer("chi", torch.zeros(weights.shape, device="cpu"))
        self.register_buffer("vectors", torch.zeros((), dtype=torch.int64, device="cpu"))

    def forward(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Collect the gradients of some vectors, and transfer what is due."""
        (weights,), every = self._weights, self._rule.every
        self.chi.sub_(lr * torch.einsum("ngo,ngi->goi", d, x))
        due = int(self.vectors) // every
        self.vectors.add_(len(x))
        if int(self.vectors) // every == due:
            return
        step = weights.granularity
        pulses = (self.chi / step).trunc().clamp(-self._rule.most, self._rule.most)
        self.chi.sub_(pulses * step)
        weights.pulse(pulses.clamp(min=0), (-pulses).clamp(min=0))
