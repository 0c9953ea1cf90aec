"""Tiki-taka: two arrays, of which one collects and the other remembers."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from memcore import Context, PulsedWeights, parameter
from memcore.optim import Pulser
from memcore_plugins.updates._transfer import Transfer, TransferRule


@dataclass(frozen=True, kw_only=True)
class TikiTaka(TransferRule):
    """A fast array takes the updates; its columns, read in turn, update the slow one by trains.

    A cell whose steps up and down differ is pulled towards the point where they are equal. In the
    fast array this pull only forgets, if that point is its zero: the reference of a cell must be
    its symmetry point. Gokmen and Haensch, "Algorithm for training neural networks on resistive
    device arrays", Front. Neurosci. 14:103 (2020), doi 10.3389/fnins.2020.00103. Where it is
    not, `subtract_symmetry_point` finds it by pulses and subtracts it: Kim et al., "Zero-shifting
    technique for deep neural network training on resistive cross-point arrays" (2019),
    arXiv:1907.10228. Between two transfers, aihwkit 1.2 counts mini-batches,
    `counting="batches"`; here vectors are counted by default, so that the size of a batch changes
    no rate.
    """

    counting: Literal["vectors", "batches"] = parameter(
        "vectors",
        "1",
        "what `every` counts: vectors, or the mini-batches of the steps, as in aihwkit 1.2",
    )

    @property
    def counts_batches(self) -> bool:
        return self.counting == "batches"

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx)


class _Trainer(Transfer):
    batches: Tensor | None

    def __init__(self, rule: TikiTaka, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__(rule, weights, ctx.random)
        self.slow_pulser = Pulser(self.slow, ctx.random.child("slow"), longest=rule.longest)
        zero = torch.zeros((), dtype=torch.int64, device="cpu")
        self.register_buffer("batches", zero if rule.counts_batches else None)

    def due_after(self, count: int) -> int:
        if self.batches is None:
            return super().due_after(count)
        self.vectors.add_(count)
        self.batches.add_(1)
        return int(int(self.batches) % self._every == 0)

    def transfer(self, lines: slice, v: Tensor, lr: float) -> None:
        x, d = self.lines.as_vectors(lines, v)
        self.slow_pulser(x, d, self.effective_rate(lr), int(self.transfers))

    def figures(self) -> dict[str, float]:
        """Numbers for a report: what was asked of the slow array, too."""
        wanted = self.slow_pulser.figures()["wanted"]
        return {**super().figures(), "pulses wanted by a transfer": wanted}
