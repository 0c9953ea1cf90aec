"""Tiki-taka: two arrays, of which one collects and the other remembers."""

from dataclasses import dataclass

from torch import Tensor, nn

from memcore import Context, PulsedWeights
from memcore.optim import Pulser
from memcore_plugins.updates._transfer import Transfer, TransferRule


@dataclass(frozen=True, kw_only=True)
class TikiTaka(TransferRule):
    """A fast array takes the updates; its columns, read in turn, update the slow one by trains.

    A cell whose steps up and down differ is pulled towards the point where they are equal. In the
    fast array this pull only forgets, if that point is its zero: the reference of a cell must be
    its symmetry point. Gokmen and Haensch, "Algorithm for training neural networks on resistive
    device arrays", Front. Neurosci. 14:103 (2020), doi 10.3389/fnins.2020.00103.
    """

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx)


class _Trainer(Transfer):
    def __init__(self, rule: TikiTaka, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(rule, weights, ctx.random)
        self.slow_pulser = Pulser(self.slow, ctx.random.child("slow"), longest=rule.longest)

    def transfer(self, columns: slice, v: Tensor, lr: float) -> None:
        unit, error = self.unit_vectors(columns), -v.permute(2, 0, 1)
        self.slow_pulser(unit, error, self._rate * lr, int(self.transfers))

    def figures(self) -> dict[str, float]:
        """Numbers for a report: what was asked of the slow array, too."""
        wanted = self.slow_pulser.figures()["wanted"]
        return {**super().figures(), "pulses wanted by a transfer": wanted}
