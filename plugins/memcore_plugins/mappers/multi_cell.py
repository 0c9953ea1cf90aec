"""Several pairs of cells for each weight, of equal or of different significance."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memcore import ConfigError, Context, Mapped, Memristor, Part, parameter
from memcore_plugins.mappers._scale import Stepless


@dataclass(frozen=True, kw_only=True)
class MultiCell(Stepless):
    """A weight as the sum of pairs of cells, `w = sum_k F_k (g+_k - g-_k) gain`.

    With `fill="alike"` the pairs of a weight hold the same conductances, `g = g_min + (g_max -
    g_min) |w| / w_max`, and independent errors of n pairs of equal significance average to 1 /
    sqrt(n) of that of one. With `fill="in_turn"` the first pair is filled before the second one
    conducts, so that small weights cost no error of the others. A pair of another significance F_k
    has a lane, and so an ADC, of its own.
    """

    significance: tuple[float, ...] = parameter(
        (1.0, 1.0), "1", "significance F_k of each pair of cells, relative to each other", above=0
    )
    fill: Literal["alike", "in_turn"] = parameter(
        "alike", "1", "whether the pairs share a weight evenly, or are filled in their order"
    )
    add: Literal["analog", "digital"] = parameter(
        "analog",
        "1",
        "where pairs of equal significance are added: analog, their currents before the ADC; "
        "digital, each has a lane and an ADC of its own",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.significance:
            raise ConfigError("MultiCell: significance=(); expected a number for each pair")

    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        g_min, g_max = device.nominal_range()
        w_max = self.largest(weight, ctx)
        parts = [
            Part(target=share.mul_(g_max - g_min).add_(g_min), lane=lane, sign=sign)
            for sign in (1, -1)
            for lane, share in self._shares((sign * weight).clamp_(min=0).div_(w_max))
        ]
        order = sorted(range(len(parts)), key=lambda index: parts[index].lane)
        factors = torch.tensor(self._lanes, dtype=weight.dtype, device=weight.device)
        siemens = (g_max - g_min) * sum(self.significance)
        gain = factors.reshape(-1, *[1] * w_max.dim()) * (w_max / siemens)
        return Mapped(parts=tuple(parts[index] for index in order), gain=gain)

    @property
    def _lanes(self) -> list[float]:
        """The significance of the pairs of each lane."""
        if self.add == "digital":
            return list(self.significance)
        return list(dict.fromkeys(self.significance))

    def _shares(self, share: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The lane of each pair, and how much of it is filled for shares of the largest weight."""
        total, below = sum(self.significance), 0.0
        for index, factor in enumerate(self.significance):
            lane = index if self.add == "digital" else self._lanes.index(factor)
            if self.fill == "alike":
                yield lane, share.clamp(max=1)
            else:
                yield lane, ((share * total - below) / factor).clamp(0, 1)
            below += factor
