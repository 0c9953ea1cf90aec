"""Tiki-taka with a digital buffer between its two arrays."""

from dataclasses import dataclass

from torch import Tensor, nn

from memcore import Context, PulsedWeights, Stream, parameter
from memcore_plugins.updates._buffer import BufferedRule, BufferedTransfer


@dataclass(frozen=True, kw_only=True)
class TikiTaka2(BufferedRule):
    """What is read of the fast array is added up digitally, and whole pulses go to the slow one.

        H -> H + transfer_lr lr v / (thres_scale granularity);    n = trunc(H), at most `most`

    and H -> m H where a pulse was sent; without `forget`, H -> H - (1 - m) n. The granularity is
    that of the slow array. The buffer filters the noise of reads and pulses. Gokmen, "Enabling
    training of neural networks on noisy hardware", Front. Artif. Intell. 4:699148 (2021), doi
    10.3389/frai.2021.699148. The zero of the fast array must be its symmetry point, or
    `subtract_symmetry_point` finds it by pulses and subtracts it: Kim et al., "Zero-shifting
    technique for deep neural network training on resistive cross-point arrays" (2019),
    arXiv:1907.10228.
    """

    thres_scale: float = parameter(
        1.0,
        "1",
        "steps of the slow array that a read has to show for a pulse, at a rate of 1; "
        "1 in aihwkit 1.2",
        above=0,
    )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx.random)


class _Trainer(BufferedTransfer):
    def __init__(self, rule: TikiTaka2, weights: tuple[PulsedWeights, ...], stream: Stream) -> None:
        super().__init__(rule, weights, stream)
        self._scale = rule.thres_scale

    @property
    def unit(self) -> float:
        return self._scale * self.slow.granularity

    def transfer(self, lines: slice, v: Tensor, lr: float) -> None:
        self.collect(lines, v, lr)
        self.send(lines)
