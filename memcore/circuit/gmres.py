"""Linear equations that are not symmetric, by restarted minimal residuals, for many vectors."""

from collections.abc import Callable

import torch
from torch import Tensor

#: Directions of the rounds; the last number holds for all that follow.
_ROUNDS = (6, 12, 24)
#: Directions in all; what is not reached by then is left to the next Newton step.
_MOST = 1000


def gmres(matrix: Callable[[Tensor], Tensor], right: Tensor, tolerance: Tensor) -> Tensor:
    """Solve A x = `right` for each vector [..., n].

    Args:
        matrix: the map A.
        right: right-hand sides.
        tolerance: largest residual, relative to the right-hand side, [..., 1]; infinite for those
            that nobody needs.
    """
    size = _norm(right)
    x, residual, count = torch.zeros_like(right), right, 0
    rounds = iter(_ROUNDS)
    most = _ROUNDS[-1]
    while count < _MOST and bool((_norm(residual) > tolerance * size).any()):
        directions = min(next(rounds, most), right.shape[-1])
        change = _round(matrix, residual, directions)
        after = right - matrix(x + change)
        better = _norm(after) < _norm(residual)
        if not bool(better.any()):
            break
        x = torch.where(better, x + change, x)
        residual = torch.where(better, after, residual)
        count += directions
    return x


def _round(matrix: Callable[[Tensor], Tensor], residual: Tensor, directions: int) -> Tensor:
    """The change of x that leaves least of the residual, of those in a Krylov space."""
    size = _norm(residual)
    basis = [_over(residual, size)]
    hessenberg = residual.new_zeros((*residual.shape[:-1], directions + 1, directions))
    for k in range(directions):
        image = matrix(basis[k])
        known = torch.stack(basis, -2)
        for _ in range(2):  # once more, for what rounding leaves
            part = known @ image[..., None]
            image = image - (known.mT @ part)[..., 0]
            hessenberg[..., : k + 1, k] += part[..., 0]
        length = _norm(image)
        # Nothing but rounding: the space is complete.
        length = torch.where(
            length > 1e-14 * hessenberg[..., :, k].norm(dim=-1, keepdim=True), length, 0
        )
        hessenberg[..., k + 1, k] = length[..., 0]
        basis.append(_over(image, length))
    inverse: Tensor = torch.linalg.pinv(hessenberg)
    weights = inverse[..., :, :1] * size[..., None]
    return (torch.stack(basis[:-1], -1) @ weights)[..., 0]


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm


def _over(x: Tensor, size: Tensor) -> Tensor:
    return torch.where(size > 0, x / torch.where(size > 0, size, 1), 0)
