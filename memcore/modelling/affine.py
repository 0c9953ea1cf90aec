"""Pulses whose step is a straight line in the position: any number of them in closed form."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from memcore.contracts.records import Context
from memcore.modelling.pulsed import FORWARD, Pulsed
from memcore.modelling.state import between, nonzero, tensor

#: A pulse that leaves less than this of the way to its fixed point reaches it.
_LEAST: Final = 1e-6
#: Standard deviations of a path that lead no further than one of a million paths.
_FAR: Final = 5.0
#: Logarithm of the ratio of two steps beyond which none is told from another.
_LARGEST: Final = math.log(1e6)


@dataclass(frozen=True, kw_only=True)
class AffinePulsed(Pulsed):
    """A pulse adds a - k w, so that n of them add (a - k w) (1 - (1 - k)^n) / k.

    A subclass gives the line:

    For example::

        def line(self, w, up):  # soft bounds at 0 and 1: a tenth of the way that is left
            return torch.where(up, 0.1, 0.0).to(w), torch.full_like(w, 0.1)

    Noise of many pulses is one draw for cells that no path takes to an end.
    """

    #: Whether additive noise, `spread`, is the same wherever a cell is: it then adds up exactly.
    even_noise: ClassVar[bool] = False

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
        a, k = self._limited(w, up)
        return w + (a - k * w) * _steps(k, _lost(k, count), count)

    def pulses_between(self, w: Tensor, end: Tensor, up: Tensor) -> Tensor:
        a, k = self._limited(w, up)
        steps = (end - w) / nonzero(a - k * w)
        grown = (-k * steps).clamp(min=-1 + 1e-7).log1p() / nonzero((-k).log1p())
        return torch.where(k == 0, steps, grown)

    def log_kept(self, w: Tensor, end: Tensor, up: Tensor, count: Tensor) -> Tensor:
        del end, count
        return (-self._limited(w, up)[1]).log1p()

    def _limited(self, w: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        a, k = self.line(w, up)
        return a, k.clamp(max=1 - _LEAST)

    # -- many noisy pulses by one draw -------------------------------------------------------------

    def _after(self, w: Tensor, up: Tensor, count: Tensor, most: float, ctx: Context) -> Tensor:
        if not self.noisy or most <= 1:
            return super()._after(w, up, count, most, ctx)
        if self.additive:
            return self._after_additive(w, up, count, most, ctx)
        if self.c2c > FORWARD:
            return super()._after(w, up, count, most, ctx)
        noise = self._noise(w, count, ctx, 1)
        many = self.flow(w, up, self._random_count(w, up, count, noise))
        after = torch.where(count > 1, many, self._single(w, up, count, noise))
        return torch.where(count > 0, between(after, *self.ends), w)

    def _random_count(self, w: Tensor, up: Tensor, count: Tensor, noise: Tensor) -> Tensor:
        log_ratio = (count * self.log_kept(w, w, up, count)).clamp(-_LARGEST, _LARGEST)
        return count + self.c2c * noise - 0.5 * self.c2c**2 * log_ratio

    def _after_additive(
        self, w: Tensor, up: Tensor, count: Tensor, most: float, ctx: Context
    ) -> Tensor:
        if not self.even_noise:
            return super()._after(w, up, count, most, ctx)
        end, variance = self._path(w, up, count)
        low, high = (tensor(end, w) for end in self.ends)
        room = torch.minimum(torch.minimum(w, end) - low, high - torch.maximum(w, end))
        widest = _FAR**2 * self.spread(w, up).square() * torch.maximum(variance, count)
        is_far = room.clamp(min=0).square() >= widest  # also of cells that take no pulse
        noise = ctx.random.normal(w.shape, round=1, device=w.device, dtype=w.dtype)
        after = end + noise * self.spread(w, up) * variance.sqrt()
        if not _is_recorded(w) and bool(is_far.all()):
            return after
        return torch.where(is_far, after, super()._after(w, up, count, most, ctx))

    def _path(self, w: Tensor, up: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Where pulses lead without noise, and the variance behind them in units of one pulse's."""
        a, k = self._limited(w, up)
        lost = _lost(k, count)
        steps = _steps(k, lost, count)
        variance = steps * (2 - lost) / (2 - k) * count.clamp(max=1)
        return w + (a - k * w) * steps, variance


def _lost(k: Tensor, count: Tensor) -> Tensor:
    """The share of the way to the fixed point that pulses go, 1 - (1 - k)^count."""
    return -(count * (-k).log1p()).clamp(-80, 80).expm1()


def _steps(k: Tensor, lost: Tensor, count: Tensor) -> Tensor:
    """As many steps as the first one lead as far."""
    return torch.where(k == 0, count, lost / nonzero(k))


def _is_recorded(w: Tensor) -> bool:
    return w.is_meta or torch.compiler.is_compiling()
