"""Gradients added up digitally, and pulses for whole steps of them."""

from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor, nn

from memcore import ConfigError, Context, PulsedWeights, Stream, UpdateRule, parameter
from memcore_plugins.updates._bins import in_bins


@dataclass(frozen=True, kw_only=True)
class MixedPrecision(UpdateRule):
    """A digital memory chi of each weight collects `-lr d x`; what exceeds a pulse is pulsed.

        chi -> chi - lr d x;    n = trunc(chi / granularity) pulses;    chi -> chi - n granularity

    Nandakumar et al., "Mixed-precision deep learning based on computational memory", Front.
    Neurosci. 14:406 (2020), doi 10.3389/fnins.2020.00406. The product is digital work of the size
    of the matrix for each vector, which trains of pulses do without: a report has its `additions`,
    with a multiplication for each. Bins of x and d make it cheaper; they, rows and the rate of
    transfers are as aihwkit 1.2 has them.
    """

    every: int = parameter(1, "1", "vectors between two transfers", at_least=1)
    most: int = parameter(1_000_000, "1", "most pulses of a weight in one transfer", at_least=1)
    n_rows: int = parameter(
        0, "1", "outputs of which a transfer looks at the memories, in turn; 0 for all", at_least=0
    )
    transfer_lr: float = parameter(
        1.0, "1", "pulses for each whole step of a memory, rounded at random", above=0
    )
    n_x: int = parameter(
        0,
        "1",
        "levels of the inputs about 0, rounded at random; an even number has one more; 0 for none",
        at_least=0,
    )
    n_d: int = parameter(0, "1", "levels of the errors in the same way; 0 for none", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_x", "n_d"):
            if getattr(self, name) == 1:
                raise ConfigError(
                    f"{name}=1, whose only level is 0; expected at least 2, for three levels, or "
                    "0 for values that are not rounded"
                )

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        (only,) = weights
        return _Trainer(self, only, ctx.random)


class _Trainer(nn.Module):
    chi: Tensor
    vectors: Tensor

    def __init__(self, rule: MixedPrecision, weights: PulsedWeights, stream: Stream) -> None:
        super().__init__()
        self._rule, self._weights, self._stream = rule, (weights,), stream
        self.register_buffer("chi", torch.zeros(weights.shape, device="cpu"))
        self.register_buffer("vectors", torch.zeros((), dtype=torch.int64, device="cpu"))

    def forward(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Collect the gradients of some vectors, and transfer what is due."""
        first, every = int(self.vectors), self._rule.every
        x = in_bins(x, self._rule.n_x, self._stream.child("inputs"), first)
        d = in_bins(d, self._rule.n_d, self._stream.child("errors"), first)
        self.chi.sub_(lr * torch.einsum("ngo,ngi->goi", d, x))
        self.vectors.add_(len(x))
        last = int(self.vectors) // every
        # Nothing comes to memories between the transfers of a batch: those of a row are one.
        begin = first // every
        most = self._rule.most * self._looks(begin, last)
        for transfer in range(max(begin, last - self._sweep), last):
            self._transfer(transfer, most)
            most = most * (1 - self._turn(transfer))

    @property
    def _rows(self) -> int:
        """Outputs of one transfer."""
        outputs = self.chi.shape[1]
        return min(self._rule.n_rows or outputs, outputs)

    @property
    def _sweep(self) -> int:
        """Transfers that look at all outputs."""
        return -(-self.chi.shape[1] // self._rows)

    def _transfer(self, number: int, most: Tensor) -> None:
        """Pulse whole steps of the memories of the rows whose turn it is, at most some of each."""
        (weights,), step = self._weights, self._weights[0].granularity
        steps = (self.chi / step).trunc().clamp(-most, most)
        if self._sweep > 1:
            steps.mul_(self._turn(number))
        self.chi.sub_(steps * step)
        pulses = steps if self._rule.transfer_lr == 1 else self._scaled(steps, number)
        weights.pulse(pulses.clamp(min=0), (-pulses).clamp(min=0))

    def _turn(self, *numbers: int) -> Tensor:
        """In how many of some transfers it is the turn of each row, [outputs, 1]."""
        outputs, rows = self.chi.shape[1], self._rows
        firsts = rows * torch.tensor(numbers, dtype=torch.int64, device=self.chi.device)
        places = torch.arange(outputs, device=self.chi.device).unsqueeze(1) - firsts
        return (places.remainder(outputs) < rows).sum(1, keepdim=True).to(self.chi.dtype)

    def _looks(self, begin: int, last: int) -> Tensor:
        """The same of the transfers from one to another one, whose rows come in periods."""
        outputs, rows = self.chi.shape[1], self._rows
        period = outputs // gcd(outputs, rows)
        whole, rest = divmod(last - begin, period)
        return whole * (rows * period // outputs) + self._turn(*range(begin, begin + rest))

    def _scaled(self, steps: Tensor, number: int) -> Tensor:
        """Whole pulses for some steps, whose mean is the rate times these."""
        wanted = self._rule.transfer_lr * steps
        draws = self._stream.child("transfer", number).uniform(wanted.shape)
        return (wanted + draws.to(wanted)).floor()

    def figures(self) -> dict[str, float]:
        """Numbers for a report: additions so far, those of the memories at transfers among them."""
        vectors, (groups, _, inputs) = int(self.vectors), self.chi.shape
        transferred = vectors // self._rule.every * self._rows
        return {"additions": vectors * self.chi.numel() + transferred * groups * inputs}
