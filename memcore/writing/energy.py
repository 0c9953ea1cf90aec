"""The energy of a pulse: the integral of voltage times current while the cells move."""

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

from memcore.dynamics.recording.pulse import Precision

#: Largest error of the energy of a pulse that a cell can tell, relative.
ACCURACY: Final = 0.005
#: What Simpson's rule may change in one interval of the pulse, as a share of the energy of its
#: cell: a jump inside is then missed by as much at most, a bend by half of it, all else by less.
_CHANGE: Final = ACCURACY / 4
#: By how much a course may miss the mean of one interval, as a share of the same energy.
_MISSED: Final = ACCURACY / 10
#: Halvings of a pulse; a cell that jumps has no short enough interval.
_HALVINGS: Final = 40
#: Two powers whose logarithms are closer have one mean.
_SAME: Final = 1e-3


def precision() -> Precision:
    """The same for the native module."""
    return Precision(
        accuracy=ACCURACY, change=_CHANGE, missed=_MISSED, same=_SAME, halvings=_HALVINGS
    )


def energy_of(
    begin: Tensor,
    end: Tensor,
    width: float,
    *,
    moved: Callable[[Tensor, Tensor, float], Tensor],
    power: Callable[[Tensor | slice, Tensor], Tensor],
) -> Tensor:
    """Energy in J of each cell during a pulse at a constant voltage, to `ACCURACY`.

    Where the power hardly changes it is the mean of both ends, which no monotone course leaves by
    more than that. Otherwise the pulse is halved where a cell moves, until Simpson's rule no longer
    makes a difference, or until both halves of an interval tell the mean power of the whole, twice
    in a row, if either the power, its logarithm or its reciprocal goes straight from end to end, as
    conductances and resistances of devices do. Cells that are swept away early are followed while
    they go, and nothing else is calculated anew.

    Args:
        begin: state before the pulse, [k, n].
        end: state after it, [k, n].
        width: of the pulse in s.
        moved: function from numbers of cells, int64 [m] into these n, their states [k, m] and a
            time in s to the states after it.
        power: function from numbers of cells, a slice for all of them, and their states to their
            powers in W, [m].

    Examples:
        >>> from memcore.writing import energy_of
        >>> halving = lambda cells, state, dt: state * 0.5 ** (dt / 1e-6)
        >>> begin = torch.ones(1, 1, dtype=torch.float64)
        >>> end = halving(None, begin, 1e-5)
        >>> spent = energy_of(begin, end, 1e-5, moved=halving, power=lambda cells, state: state[0])
        >>> f"{float(spent):.3g} J"  # 1e-6 s / ln 2 (1 - 2^-10)
        '1.44e-06 J'
    """
    first, last = power(slice(None), begin), power(slice(None), end)
    energy = 0.5 * width * (first + last)
    moving = _apart(first, last, ACCURACY)
    work = _Intervals(moving, begin[:, moving], first[moving], last[moving], moving < 0)
    for _ in range(_HALVINGS):
        if not work.cells.numel():
            break
        middle = moved(work.cells, work.state, 0.5 * width)
        work = _told(energy, work, middle, power(work.cells, middle), width)
        width *= 0.5
    return energy


class _Intervals(NamedTuple):
    """Intervals of a pulse that are still to be integrated, all of one width.

    Args:
        cells: int64 [m], the cell of each.
        state: at their beginning, [k, m].
        left: power in W at their beginning, [m].
        right: power in W at their end, [m].
        fitted: whether the interval of which each is a half took a course that is known, [m].
    """

    cells: Tensor
    state: Tensor
    left: Tensor
    right: Tensor
    fitted: Tensor

    def of(self, some: Tensor) -> "_Intervals":
        """Some of them."""
        return _Intervals(*(each.index_select(-1, some) for each in self))

    def halved(self, state: Tensor, power: Tensor) -> "_Intervals":
        """Those halves in which the power changes, from states and powers in the middle."""
        first, second = self._replace(right=power), self._replace(state=state, left=power)
        halves = (each.of(_apart(each.left, each.right, _CHANGE)) for each in (first, second))
        return _Intervals(*(torch.cat(both, -1) for both in zip(*halves, strict=True)))


def _told(
    energy: Tensor, work: _Intervals, state: Tensor, half: Tensor, width: float
) -> _Intervals:
    """Count intervals whose middles are known; returns the halves that are still to be integrated.

    Args:
        energy: of all cells in J by the trapezoids of the intervals, changed in place, [n].
        work: the intervals.
        state: in their middles, [k, m].
        half: power in W there, [m].
        width: of the intervals in s.
    """
    trapezoid = 0.5 * (work.left + work.right)
    simpson = (trapezoid + 2 * half) / 3
    change = width * (simpson - trapezoid)
    energy.index_add_(0, work.cells, change)
    bent = (change.abs() > _CHANGE * energy[work.cells].abs()).nonzero().squeeze(1)
    work, state, half, simpson = work.of(bent), state[:, bent], half[bent], simpson[bent]
    mean, missed = _course(work.left, half, work.right)
    energy.index_add_(0, work.cells, width * (mean - simpson))
    fits = width * missed <= _MISSED * energy[work.cells].abs()
    open = (~(fits & work.fitted)).nonzero().squeeze(1)
    work, half = work._replace(fitted=fits).of(open), half[open]
    two = 0.25 * (work.left + 2 * half + work.right)  # of the trapezoids that follow
    energy.index_add_(0, work.cells, width * (two - mean[open]))
    return work.halved(state[:, open], half)


def _apart(left: Tensor, right: Tensor, share: float) -> Tensor:
    """Where two powers differ by more than a share of their sum; int64 [m]."""
    return ((right - left).abs() > share * (left + right).abs()).nonzero().squeeze(1)


def _course(left: Tensor, half: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Mean power of intervals, and how far from it they may be, [m], by the course that fits best.

    The one that tells the same of both halves as of the whole.
    """
    means, whole = 0.5 * (_means(left, half) + _means(half, right)), _means(left, right)
    missed, course = (means - whole).abs().min(0)
    return means.gather(0, course[None])[0], missed


def _means(left: Tensor, right: Tensor) -> Tensor:
    """Mean between two powers if they, their logarithm or reciprocal go straight, [3, m]."""
    both, difference = 0.5 * (left + right), right - left
    ratio = (right / left).log()
    near = ~(ratio.abs() > _SAME) | ratio.isinf()  # also where a power is 0 or changes its sign
    by_log = torch.where(near, both, difference / ratio)
    by_reciprocal = torch.where(near, both, left * right * ratio / difference)
    return torch.stack([both, by_log, by_reciprocal])
