"""Currents through the cells of a crossbar for given inputs, without its matrix."""

from collections.abc import Callable

import torch
from torch import Tensor

from memcore.errors import MemcoreError
from memcore.ops.effective_conductance import canonical
from memcore.wires import Wires


class ConvergenceError(MemcoreError, RuntimeError):
    """The iteration has not reached the tolerance that was asked for."""


def cell_currents(
    v: Tensor, g: Tensor, wires: Wires, *, tolerance: float = 1e-10, iterations: int = 10_000
) -> Tensor:
    """Solve a crossbar of ohmic cells for input vectors, by preconditioned conjugate gradients.

    Each iteration costs O(rows x cols) for a vector and needs no matrix, so that this is for arrays
    too large for `effective_conductance`, or for a vector or two. It takes the more iterations the
    more voltage the wires lose. Sums over rows are the currents of the bit lines, sums over columns
    those of the drivers. There are no gradients.

    Args:
        v: voltages of the drivers, [..., rows].
        g: conductances [..., rows, cols] in siemens, at least 0; leading dimensions broadcast.
        wires: resistances.
        tolerance: bound of the residual relative to the right-hand side, in the Euclidean norm, for
            every vector.
        iterations: at most so many.

    Returns:
        [..., rows, cols] in ampere.

    Raises:
        ConvergenceError: if the tolerance is not met.
        TypeError: if dtypes differ or are not float32 or float64.
        ValueError: if a shape does not fit.
    """
    if v.dtype != g.dtype:
        raise TypeError(f"v is {v.dtype}, but g is {g.dtype}: convert one of them")
    if v.dim() < 1 or g.dim() < 2 or v.shape[-1] != g.shape[-2]:
        raise ValueError(
            f"v has shape {list(v.shape)}, but g has {list(g.shape)}: expected [..., rows]"
        )
    with torch.no_grad():
        straight, word, bit, flips = canonical(g, wires)
        source = v.flip(-1) if -2 in flips else v
        ends = (wires.drive == "both", wires.sense_at == "both")
        root = straight.sqrt()
        right = root * source[..., None]
        drop_word, diagonal_word = _line(word, ends[0])
        drop_bit, diagonal_bit = _line(bit.flip(-2).mT, ends[1])

        def matrix(x: Tensor) -> Tensor:
            c = root * x
            drop = drop_word(c) + drop_bit(c.flip(-2).mT).mT.flip(-2)
            return x + root * drop

        diagonal = 1 + straight * (diagonal_word + diagonal_bit.mT.flip(-2))
        out = root * _conjugate_gradients(matrix, right, diagonal, tolerance, iterations)
        return out.flip(flips) if flips else out


def _line(segments: Tensor, both: bool) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Voltages lost along lines whose currents leave at the nodes, and what each loses by itself.

    Segment k is in front of node k; with `both`, there is one more behind the last node, to a
    second end at the same voltage.
    """
    count = segments.shape[-1] - both
    inner, far = segments[..., :count], segments[..., count:].sum(-1, keepdim=True)
    near = inner.cumsum(-1)
    whole = near[..., -1:] + far
    share = near / torch.where(whole == 0, 1, whole) if both else torch.zeros_like(near)

    def drop(currents: Tensor) -> Tensor:
        flow = currents.flip(-1).cumsum(-1).flip(-1)  # through each segment, from the near end
        lost = (inner * flow).cumsum(-1)
        return lost - share * lost[..., -1:]

    return drop, near * (1 - share)


def _conjugate_gradients(
    matrix: Callable[[Tensor], Tensor],
    right: Tensor,
    diagonal: Tensor,
    tolerance: float,
    iterations: int,
) -> Tensor:
    def inner(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((-2, -1), keepdim=True)

    def ratio(a: Tensor, b: Tensor) -> Tensor:
        return a / torch.where(b == 0, 1, b)

    x = right / diagonal
    residual = right - matrix(x)
    z = residual / diagonal
    direction, rho = z, inner(residual, z)
    bound = tolerance * inner(right, right).sqrt()
    for _ in range(iterations):
        if bool((inner(residual, residual).sqrt() <= bound).all()):
            # The recursion drifts away from the true residual: ask that.
            residual = right - matrix(x)
            if bool((inner(residual, residual).sqrt() <= bound).all()):
                return x
            direction = z = residual / diagonal
            rho = inner(residual, z)
        image = matrix(direction)
        step = ratio(rho, inner(direction, image))
        x = x + step * direction
        residual = residual - step * image
        z = residual / diagonal
        rho, before = inner(residual, z), rho
        direction = z + ratio(rho, before) * direction
    reached = float(ratio(inner(residual, residual), inner(right, right)).max().sqrt())
    raise ConvergenceError(
        f"the residual is {reached:.1e} after {iterations} iterations, expected at most "
        f"{tolerance:.1e}: allow more iterations or a larger tolerance, or use float64"
    )
