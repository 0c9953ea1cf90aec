"""Pulses whose step is a straight line in the position: any number of them in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcore.modelling.pulsed import Pulsed
from memcore.modelling.state import nonzero

#: A pulse that leaves less than this of the way to its fixed point reaches it.
_LEAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class AffinePulsed(Pulsed):
    """A pulse adds a - k w, so that n of them add (a - k w) (1 - (1 - k)^n) / k.

    A subclass gives the line:

    For example::

        def line(self, w, up):  # soft bounds at 0 and 1: a tenth of the way that is left
            return torch.where(up, 0.1, 0.0).to(w), torch.full_like(w, 0.1)
    """

    def line(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        """The a and k of a pulse, in the dtype of `w`.

        Args:
            w: positions, [*cells].
            up: whether pulses SET, [*cells] bool.
        """
        raise NotImplementedError

    def change(self, w: Tensor, up: Tensor) -> Tensor:
        a, k = self.line(w, up)
        return a - k * w

    def flow(self, w: Tensor, up: Tensor, count: Tensor) -> Tensor:
        a, k = self.line(w, up)
        k = k.clamp(max=1 - _LEAST)
        decayed = -(count * (-k).log1p()).clamp(-80, 80).expm1() / nonzero(k)
        return w + (a - k * w) * torch.where(k == 0, count, decayed)

    def pulses_between(self, w: Tensor, end: Tensor, up: Tensor) -> Tensor:
        a, k = self.line(w, up)
        k = k.clamp(max=1 - _LEAST)
        steps = (end - w) / nonzero(a - k * w)
        grown = (-k * steps).clamp(min=-1 + 1e-7).log1p() / nonzero((-k).log1p())
        return torch.where(k == 0, steps, grown)

    def log_kept(self, w: Tensor, end: Tensor, up: Tensor, count: Tensor) -> Tensor:
        del end, count
        return (-self.line(w, up)[1].clamp(max=1 - _LEAST)).log1p()
