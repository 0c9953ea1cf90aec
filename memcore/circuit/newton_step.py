"""The linear equations of a Newton step, by conjugate gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memcore.circuit.loops import Loops, solve
from memcore.circuit.losses import Lines

#: What is not reached by then is left to the next Newton step.
_ITERATIONS = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Floating:
    """Lines with open ends, as columns of B: +1 at the cells of word lines, -1 of bit lines.

    Attributes:
        word: floating word lines, bool [..., rows].
        bit: floating bit lines, bool [..., cols].
    """

    word: Tensor
    bit: Tensor

    def spread(self, potential: Tensor) -> Tensor:
        """B p, for potentials [..., rows + cols]."""
        rows = self.word.shape[-1]
        word = torch.where(self.word, potential[..., :rows], 0)
        bit = torch.where(self.bit, potential[..., rows:], 0)
        return word[..., :, None] - bit[..., None, :]

    def total(self, current: Tensor) -> Tensor:
        """B^T c, the sums over the lines, [..., rows + cols]; 0 where they are driven."""
        word = torch.where(self.word, current.sum(-1), 0)
        return torch.cat([word, torch.where(self.bit, -current.sum(-2), 0)], -1)

    def factor(self, weight: Tensor) -> Tensor:
        """The Cholesky factor of B^T W B, with ones for lines that have no part in it."""
        off = torch.where(self.word[..., None] & self.bit[..., None, :], -weight, 0)
        diagonal = self.total(weight).abs()
        # Lines that hang together and on nothing else would make it singular.
        diagonal = diagonal * (1 + 4 * torch.finfo(weight.dtype).eps)
        matrix = torch.diag_embed(torch.where(diagonal == 0, 1, diagonal))
        rows = off.shape[-2]
        matrix[..., :rows, rows:] = off
        matrix[..., rows:, :rows] = off.mT
        factor: Tensor = torch.linalg.cholesky_ex(matrix)[0]
        return factor


def step(
    slope: Tensor,
    lines: Lines,
    floating: Floating | None,
    loss: Tensor,
    excess: Tensor | None,
    tolerance: Tensor,
) -> tuple[Tensor, Tensor | None]:
    """Solve (1 + K D) du - B dp = -F and B^T D du = -h for the changes du and dp.

    With y = sqrt(D) du, (1 + sqrt(D) K sqrt(D)) y = sqrt(D) (B dp - F), which is symmetric. All
    directions keep the condition (projected conjugate gradients). Cells without slope take
    du = B dp - F - K sqrt(D) y. If no line floats and the kernel of ladders runs, word and bit
    lines are solved in turn instead, which takes fewer iterations.

    Args:
        slope: slopes D of the cells in S.
        lines: the wires, K.
        floating: the floating lines, B; None if no line floats.
        loss: voltages F that are missing, in V.
        excess: excess currents h of the floating lines in A, [..., rows + cols].
        tolerance: tolerance of the residual, relative to the right-hand side; [..., 1, 1].
    """
    if floating is None and lines.ideal:
        return -loss, None
    if floating is None and lines.by_kernel:
        return _in_turn(slope, lines, loss, tolerance), None
    root = slope.sqrt()
    scale = 1 + slope * lines.own
    condition = None if floating is None else _Condition(floating, root, scale)
    y, potential = torch.zeros_like(loss), None
    if condition is not None and excess is not None:
        y, potential = condition.least(-excess), torch.zeros_like(excess)

    def matrix(x: Tensor) -> Tensor:
        return x + root * lines.drop(root * x)

    right = -root * loss
    y, potential = _conjugate_gradients(matrix, right, y, potential, scale, condition, tolerance)
    change = -loss - lines.drop(root * y)
    if floating is not None and potential is not None:
        change = change + floating.spread(potential)
    return change, potential


def _in_turn(slope: Tensor, lines: Lines, loss: Tensor, tolerance: Tensor) -> Tensor:
    """The change du by iterations that solve all word lines, and then all bit lines."""
    word, bit = lines.word.with_cells(slope), lines.bit.with_cells(slope)
    loops = Loops(g=slope, word=word, bit=bit, drop=lines.drop)
    return solve(loops, -loss, tolerance, _ITERATIONS).voltage


class _Condition:
    """The projection on what meets B^T sqrt(D) y = 0, orthogonal in the preconditioner."""

    def __init__(self, floating: Floating, root: Tensor, scale: Tensor) -> None:
        self.floating, self.root, self.scale = floating, root, scale
        self.factor = floating.factor(root**2 / scale)

    def least(self, total: Tensor) -> Tensor:
        """The smallest y with B^T sqrt(D) y = `total`."""
        return self._spread(self._solve(total)) / self.scale

    def project(self, residual: Tensor) -> tuple[Tensor, Tensor]:
        """The part of a residual that potentials cannot take up, and those potentials."""
        taken = self._solve(self.floating.total(self.root * residual / self.scale))
        return residual - self._spread(taken), taken

    def _solve(self, right: Tensor) -> Tensor:
        return torch.cholesky_solve(right[..., None], self.factor)[..., 0]

    def _spread(self, potential: Tensor) -> Tensor:
        return self.root * self.floating.spread(potential)


def _conjugate_gradients(
    matrix: Callable[[Tensor], Tensor],
    right: Tensor,
    y: Tensor,
    potential: Tensor | None,
    scale: Tensor,
    condition: _Condition | None,
    tolerance: Tensor,
) -> tuple[Tensor, Tensor | None]:
    """The y, and the potentials that hold it to the condition."""

    def inner(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((-2, -1), keepdim=True)

    def ratio(a: Tensor, b: Tensor) -> Tensor:
        return a / torch.where(b == 0, 1, b)

    residual = right - matrix(y) if condition is not None else right
    size = torch.maximum(inner(right, right), inner(residual, residual)).sqrt()
    direction, rho = torch.zeros_like(right), torch.ones_like(size)
    for _ in range(_ITERATIONS):
        if condition is not None and potential is not None:
            residual, taken = condition.project(residual)
            potential = potential - taken
        # Nothing to solve is met by any tolerance, and what is NaN stays so.
        if not bool((ratio(inner(residual, residual).sqrt(), size) > tolerance).any()):
            break
        z = residual / scale
        rho, before = inner(residual, z), rho
        direction = z + ratio(rho, before) * direction
        image = matrix(direction)
        length = ratio(rho, inner(direction, image))
        y = y + length * direction
        residual = residual - length * image
    return y, potential
