"""Integrate and fire instead of an ADC: a counter of the spikes that a charge gives."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import Context, parameter
from memcore_plugins.converters._range import Ranged


class Spikes(nn.Module):
    """The spikes of a charge, times the threshold: whole thresholds, the rest stays.

    Args:
        threshold: charge of one spike, in the unit of x.
        lo: lowest count; negative ones are those of the array of the other sign.
        hi: highest count.
    """

    threshold: Tensor

    def __init__(self, threshold: Tensor, lo: float, hi: float) -> None:
        super().__init__()
        self.register_buffer("threshold", threshold)
        self.lo, self.hi = lo, hi

    def count(self, charge: Tensor, left: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Spikes of a charge >= 0 on top of what was left of earlier ones, and what is left now."""
        total = charge + left
        spikes = self._whole(total)
        return spikes, total - spikes * self.threshold

    def _whole(self, x: Tensor) -> Tensor:
        """How many thresholds fit into x >= 0, right also where a quotient is rounded."""
        spikes = torch.floor(x / self.threshold)
        spikes = torch.where((spikes + 1) * self.threshold <= x, spikes + 1, spikes)
        return torch.where(spikes * self.threshold > x, spikes - 1, spikes)

    def forward(self, x: Tensor) -> Tensor:
        """Count; the gradient passes straight through inside the range and stops outside."""
        inside = x.clamp(self.lo * self.threshold, self.hi * self.threshold)
        spikes = (x.sign() * self._whole(x.detach().abs())).clamp(self.lo, self.hi)
        return inside + (spikes * self.threshold - inside).detach()


@dataclass(frozen=True, kw_only=True)
class IntegrateFire(Ranged):
    r"""A capacitor that integrates the current of a bit line and fires at a threshold.

    $n = \lfloor q / q_\mathrm{threshold} \rfloor$ spikes are counted, those of the two signs of a
    weight apart. It rounds towards zero, by half a threshold on the mean, where `uniform` rounds to
    the nearest level. A read begins with an empty capacitor. Song et al., HPCA 2017.
    """

    bits: int = parameter(16, "1", "bits of the counter, with the sign", within=(2, 24))
    threshold: float | None = parameter(
        None,
        "A",
        "current that gives one spike in a read; None for the range over the largest count",
        above=0,
    )

    def _fixed(self) -> tuple[float, float]:
        if self.threshold is None:
            return super()._fixed()
        if self.symmetric is False:
            return 0.0, self.threshold * (2**self.bits - 1)
        peak = self.threshold * (2 ** (self.bits - 1) - 1)
        return -peak, peak

    def observe(self, values: Tensor) -> Tensor | None:
        if self.threshold is not None:
            return values.new_tensor(self._fixed())
        return super().observe(values)

    @property
    def of_all_values(self) -> bool:
        return self.threshold is None and super().of_all_values

    def bind(self, full_scale: Tensor, ctx: Context) -> nn.Module:
        del ctx
        # Counts begin at zero, so that the range holds it.
        with_zero = torch.stack([full_scale[0].clamp(max=0), full_scale[1].clamp(min=0)])
        levels = self.levels(with_zero)
        return Spikes(levels.step, levels.lo, levels.hi)
