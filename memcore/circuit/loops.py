"""Voltages across the cells of a crossbar, by conjugate gradients between word and bit lines."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memcore.ops.ladder import Ladders

#: How much better than needed a round of iterations leaves what it can see of the residual.
_MARGIN = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class Loops:
    """The equations u + K G u = s for u, the voltages across cells in V.

    Attributes:
        g: conductances G in S, [..., rows, cols].
        word: word lines, with the cells as shunts.
        bit: bit lines, with the cells as shunts.
        drop: the map K from cell currents in A to the voltages that wires lose in V.
    """

    g: Tensor
    word: Ladders
    bit: Ladders
    drop: Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class LoopVoltages:
    """The voltages that `solve` returns.

    Attributes:
        voltage: voltages u across the cells in V, [..., rows, cols].
        residual: residual |sqrt(G) (s - u - K G u)| relative to |sqrt(G) s|, [..., 1, 1].
        iterations: number of iterations that were needed.
        met: whether all vectors meet the tolerance.
    """

    voltage: Tensor
    residual: Tensor
    iterations: int
    met: bool


def solve(loops: Loops, applied: Tensor, tolerance: Tensor, iterations: int) -> LoopVoltages:
    """Solve for s = `applied` [..., rows, cols], to a residual of at most `tolerance` [..., 1, 1].

    With the changes w = E_w (b - s) on word lines and the voltages b on bit lines, both solved
    exactly for given voltages of the other, b = E_b (s + w). That is (1 - E_b E_w) b = known, with
    an operator that is symmetric and positive in the inner product of G E_w.
    """
    root = loops.g.sqrt()
    size = _norm(root * applied)
    b, count, before = torch.zeros_like(applied), 0, torch.full_like(size, torch.inf)
    while True:
        word = loops.word.solve(b - applied)[0].add_(applied)
        u = word - b
        left = loops.drop(loops.g * u).add_(u).sub_(applied).mul_(root)
        residual = _ratio(_norm(left), size)
        going = ~(residual <= tolerance)  # those that are NaN too
        stuck = going & ~(residual <= 0.5 * before)
        met = not bool(going.any())
        if met or count >= iterations or bool((stuck == going).all()):
            return LoopVoltages(voltage=u, residual=residual, iterations=count, met=met)
        least = 10 * torch.finfo(b.dtype).eps
        wanted = _ratio(_MARGIN * tolerance, residual).clamp(min=least, max=1)
        missing = loops.bit.solve(word)[0].sub_(b)
        count += _improve(loops, b, missing, wanted, iterations - count)
        before = residual


def _improve(loops: Loops, b: Tensor, d: Tensor, wanted: Tensor, iterations: int) -> int:
    """Add to b until its residual d, in the energy norm, has fallen by `wanted`; both in place.

    What word lines do not see of d, since they lose nothing, is right after one more exchange.
    """
    q, rho = loops.word.solve(d)
    p, bound = d.clone(), wanted.double() ** 2 * rho
    free, charge = torch.empty_like(d), torch.empty_like(d)  # new memory takes longer than its use
    count = 0
    while count < iterations and bool((rho > bound).any()):
        change = loops.bit.solve(q, out=free)[0].sub_(p)
        # Not by a recursion from rho: nearly all cancels where wires lose most of the voltage.
        curvature = -_dot(torch.mul(q, loops.g, out=charge), change)
        step = _ratio(rho.to(b.dtype), curvature)
        b.addcmul_(p, step)
        d.addcmul_(change, step)
        e, after = loops.word.solve(d, out=free)
        turn = _ratio(after, rho).to(b.dtype)
        torch.addcmul(d, p, turn, out=p)
        torch.addcmul(e, q, turn, out=q)
        rho = after
        count += 1
    b.add_(d)
    return count


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return a.flatten(-2)[..., None, :] @ b.flatten(-2)[..., None]


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    return norm


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return a / torch.where(b == 0, 1, b)
