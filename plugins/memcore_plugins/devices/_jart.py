"""Numerics of the JART model: an implicit current, its table, and motion up to an end."""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Self

import torch
from torch import Tensor

LOWEST: Final = 1e-6  #: V; below, the conductance of this voltage is kept
HIGHEST: Final = 4.0  #: V; above, the conductance of this voltage is kept
_STEPS: Final = 16
_VOLTAGES: Final = 256
_CONCENTRATIONS: Final = 256
_AT_ONCE: Final = 32
_TINY: Final = 1e-30
_ALMOST_ONE: Final = 1 - 1e-7
_FLAT: Final = 1e-4
_LARGEST_EXPONENT: Final = 80.0


def illinois(mismatch: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Where `mismatch` changes its sign, from < 0 at `low` to > 0 at `high`; elementwise.

    The secant method that never leaves the bracket (Dowell and Jarratt, BIT 11:168, 1971).
    """
    below, above = mismatch(low), mismatch(high)
    for _ in range(_STEPS):
        rise = above - below
        middle = high - above * (high - low) / torch.where(rise == 0, 1.0, rise)
        found = mismatch(middle)
        crossed = found * above < 0
        low, below = torch.where(crossed, high, low), torch.where(crossed, above, 0.5 * below)
        high, above = middle, found
    return high


class Response(NamedTuple):
    """What a cell does at a voltage.

    Args:
        log_conductance: ln(I/V), I/V in S.
        log_speed: ln |d ln N/dt / V| far from the ends of the window, in 1/(V s).
    """

    log_conductance: Tensor
    log_speed: Tensor


class Table(NamedTuple):
    """Responses on a grid of the voltage and of ln N, bilinear in between.

    Args:
        response: each [2, voltages, concentrations], first for SET, then for RESET.
            Voltages are evenly spaced in |V|^(1/4): slopes are steep near 0 V.
        lowest, step: of ln N on the grid.
    """

    response: Response
    lowest: float
    step: float

    @classmethod
    def of(cls, respond: Callable[[Tensor, Tensor], Response], lowest: float, span: float) -> Self:
        """The table of `respond(voltage, log_n)` for ln N from `lowest` on."""
        exact = partial(torch.linspace, dtype=torch.float64, device="cpu")
        v = exact(LOWEST**0.25, HIGHEST**0.25, _VOLTAGES) ** 4
        log_n = exact(lowest, lowest + span, _CONCENTRATIONS)
        # In parts that fit into a cache.
        parts = [
            respond(some[:, None], log_n) for some in torch.split(torch.cat([-v, v]), _AT_ONCE)
        ]
        shape = (2, _VOLTAGES, _CONCENTRATIONS)
        made = Response(*(torch.cat(which).view(shape) for which in zip(*parts, strict=True)))
        return cls(made, lowest, span / (_CONCENTRATIONS - 1))

    def to(self, dtype: torch.dtype, device: torch.device) -> Self:
        """The table for lookups of this dtype and device."""
        return self._replace(response=Response(*(t.to(device, dtype) for t in self.response)))

    def look_up(self, which: int, magnitude: Tensor, reset: Tensor, log_n: Tensor) -> Tensor:
        """The response `which` at voltages of this magnitude and sign."""
        values = self.response[which]
        rows, columns = values.shape[1:]
        start, end = LOWEST**0.25, HIGHEST**0.25
        u = (magnitude.sqrt().sqrt() - start) * ((rows - 1) / (end - start))
        x = (log_n - self.lowest) / self.step
        i = u.detach().floor().clamp(0, rows - 2)
        j = x.detach().floor().clamp(0, columns - 2)
        along, across = (u - i).clamp(0, 1), (x - j).clamp(0, 1)
        corner = ((reset * rows + i) * columns + j).long()
        flat = values.flatten()
        near = torch.lerp(flat[corner], flat[corner + 1], across)
        far = torch.lerp(flat[corner + columns], flat[corner + columns + 1], across)
        return torch.lerp(near, far, along)


def travel(log_speed: Callable[[Tensor], Tensor], y: Tensor, push: Tensor, pieces: int) -> Tensor:
    """How far a cell comes that moves towards an end at y = 0, at most y.

        dy/dt = -(1 - e^(-10 y)) push exp(log_speed(y)),    t from 0 to 1

    What remains of the way is cut into pieces, shorter where it begins and ends. In each, the
    logarithm of the speed is taken as linear in the distance that a cell far from the end would
    have covered, for which the equation has a closed form; the time that is left goes on to the
    next piece. No push is too large, and parts of a push add up to the whole.

    Args:
        log_speed: of [pieces + 1, *cells] distances.
        y: distance to the end in ln N, [*cells].
        push: >= 0, [*cells].
        pieces: the error falls with their square.
    """
    places = [k / pieces for k in range(pieces + 1)]
    ways = [place * place * (3 - 2 * place) for place in places]
    logs = log_speed(torch.stack([y * (1 - way) for way in ways])).unbind(0)
    covered, left = torch.zeros_like(y), push
    for k in range(pieces):
        begin, length = y * (1 - ways[k]), y * (ways[k + 1] - ways[k])
        moves = -torch.expm1(-10 * begin)
        share = -torch.expm1(-10 * length) / moves.clamp(min=_TINY)
        free = -torch.log1p(-share.clamp(max=_ALMOST_ONE)) / 10
        rise, reach = logs[k + 1] - logs[k], left * logs[k].exp()
        needed = free * _expm1_share((-rise).clamp(max=_LARGEST_EXPONENT))
        crossed = reach >= needed
        bent = rise / free.clamp(min=_TINY) * torch.minimum(reach, needed)
        far = reach * _log1p_share(-bent)
        part = -torch.log1p(-moves * -torch.expm1(-10 * far)) / 10
        covered = covered + torch.where(crossed, length, torch.minimum(part, length))
        left = torch.where(crossed, left * (1 - needed / reach.clamp(min=_TINY)), 0.0)
    return covered


def _expm1_share(x: Tensor) -> Tensor:
    """(e^x - 1) / x."""
    flat = x.abs() < _FLAT
    return torch.where(flat, 1 + x / 2, torch.expm1(x) / torch.where(flat, 1.0, x))


def _log1p_share(x: Tensor) -> Tensor:
    """Ln(1 + x) / x."""
    flat, x = x.abs() < _FLAT, x.clamp(min=-_ALMOST_ONE)
    return torch.where(flat, 1 - x / 2, torch.log1p(x) / torch.where(flat, 1.0, x))
