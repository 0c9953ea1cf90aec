"""Tiki-taka with a digital buffer between its two arrays."""

from dataclasses import dataclass

from torch import Tensor, nn

from memcore import Context, PulsedWeights
from memcore_plugins.updates._transfer import BufferedRule, BufferedTransfer


@dataclass(frozen=True, kw_only=True)
class TikiTaka2(BufferedRule):
    """What is read of the fast array is added up digitally, and whole pulses go to the slow one.

        H -> H + transfer_lr lr v / granularity;    n = trunc(H), at most `most`;    H -> m H

    where a pulse was sent. The buffer filters the noise of reads and pulses. Gokmen, "Enabling
    training of neural networks on noisy hardware", Front. Artif. Intell. 4:699148 (2021), doi
    10.3389/frai.2021.699148. The zero of the fast array must be its symmetry point.
    """

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx.random)


class _Trainer(BufferedTransfer):
    def transfer(self, columns: slice, v: Tensor, lr: float) -> None:
        self.collect(columns, self._rate * lr / self.slow.granularity * v)
        self.send(columns)
