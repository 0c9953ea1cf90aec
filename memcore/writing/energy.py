"""The energy of a pulse: the integral of voltage times current while the cells move."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

#: Largest error of the energy of a pulse that a cell can tell, relative.
ACCURACY: Final = 0.005
#: What one interval of the pulse may still change, as a share of the energy of its cell.
_CHANGE: Final = ACCURACY / 5
#: Halvings of a pulse; a cell that jumps has no short enough interval.
_HALVINGS: Final = 40


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
    more than that. Otherwise the pulse is halved where a cell moves, with Simpson's rule, until a
    halving no longer makes a difference: cells that are swept away early are followed while they
    go, and nothing else is calculated anew.

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
    moving = ((last - first).abs() > ACCURACY * (last + first).abs()).nonzero().squeeze(1)
    work = [(moving, begin[:, moving], first[moving], last[moving])]
    for _ in range(_HALVINGS):
        at, state, left, right = (torch.cat(parts, -1) for parts in zip(*work, strict=True))
        if not at.numel():
            break
        middle = moved(at, state, 0.5 * width)
        half = power(at, middle)
        change = width / 6 * (4 * half - 2 * (left + right))  # Simpson's rule less the trapezoid
        energy.index_add_(0, at, change)
        open = change.abs() > _CHANGE * energy[at].abs()
        at, state, middle, left, half, right = (
            each[..., open] for each in (at, state, middle, left, half, right)
        )
        energy.index_add_(0, at, width / 12 * (left + right - 2 * half))  # two trapezoids instead
        work = [(at, state, left, half), (at, middle, half, right)]
        width *= 0.5
    return energy
