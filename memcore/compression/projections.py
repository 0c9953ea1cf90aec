"""Projections: the nearest matrix, in the sense of least squares, of a set that fits arrays.

Matrices are [groups, outputs, inputs]: outputs are filters on bit lines, inputs lie on word lines.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore import _check
from memcore.errors import ConfigError, ShapeError

Projection = Callable[[Tensor], Tensor]


def filters(matrix: Tensor, keep: int) -> Tensor:
    """Keep the `keep` filters of the largest norm in each group, and clear the others."""
    norms = _checked(matrix).square().sum(2)
    return matrix * _largest(norms, keep, "filters").unsqueeze(2)


def columns(matrix: Tensor, keep: int) -> Tensor:
    """Keep the `keep` inputs of the largest norm in each group, and clear the others.

    An input is one word line: one channel at one position of a kernel.
    """
    norms = _checked(matrix).square().sum(1)
    return matrix * _largest(norms, keep, "inputs").unsqueeze(1)


def blocks(matrix: Tensor, shape: tuple[int, int], keep: int) -> Tensor:
    """Keep the `keep` blocks of the largest norm in each group, and clear the others.

    Args:
        matrix: [groups, outputs, inputs].
        shape: outputs and inputs of a block; blocks at the ends may be smaller.
        keep: number of blocks.
    """
    padded, (rows, cols) = _padded(_checked(matrix), shape)
    tiles = padded.reshape(-1, rows, shape[0], cols, shape[1])
    mask = _largest(tiles.square().sum((2, 4)).flatten(1), keep, "blocks")
    kept = tiles * mask.view(-1, rows, 1, cols, 1)
    whole = kept.flatten(3).flatten(1, 2)
    return whole[:, : matrix.shape[1], : matrix.shape[2]]


def per_column(matrix: Tensor, most: int, rows: int | None = None) -> Tensor:
    """Keep at most so many weights of a filter on the word lines of one array, the largest.

    An ADC then sees the current of at most `most` cells of a bit line (TinyADC).

    Args:
        matrix: [groups, outputs, inputs].
        most: weights of one bit line that are not zero.
        rows: word lines of one array; None for all in one.
    """
    pieces = _fragments(matrix, _checked(matrix).shape[2] if rows is None else rows)
    count = min(_check.integer("most", most, at_least=1), pieces.shape[3])
    kept = pieces.abs().topk(count, dim=3).indices
    mask = torch.zeros_like(pieces, dtype=torch.bool).scatter_(3, kept, True)
    return (pieces * mask).flatten(2)[..., : matrix.shape[2]]


def sign_fragments(matrix: Tensor, size: int) -> Tensor:
    """Let the weights of each fragment have one sign: that of the larger sum of squares.

    A fragment is `size` neighbouring word lines of one filter (FORMS, which takes the sign of the
    sum instead, and so is not the nearest). Weights of the other sign are cleared.
    """
    pieces = _fragments(_checked(matrix), size)
    up, down = pieces.clamp(min=0), pieces.clamp(max=0)
    positive = up.square().sum(3, keepdim=True) >= down.square().sum(3, keepdim=True)
    return torch.where(positive, up, down).flatten(2)[..., : matrix.shape[2]]


def levels(matrix: Tensor, values: Tensor) -> Tensor:
    """The nearest of given values for each weight; weights that are zero stay so.

    Args:
        matrix: [groups, outputs, inputs].
        values: allowed weights, ascending.
    """
    values = _check.tensor("values", values, "[n]", "weights", any_real=True)
    if values.dim() != 1 or not len(values) or bool((values.diff() < 0).any()):
        raise ConfigError(f"values={values.tolist()}; expected ascending weights")
    middle = (values[1:] + values[:-1]) / 2
    found = values[torch.bucketize(matrix.contiguous(), middle)]
    return torch.where(matrix == 0, matrix, found)


def _checked(matrix: Tensor) -> Tensor:
    """The matrix, which has groups."""
    _check.tensor("matrix", matrix, "[groups, outputs, inputs]", "weights")
    if matrix.dim() != 3:
        raise ShapeError(
            f"matrix has shape {tuple(matrix.shape)}; expected [groups, outputs, inputs]: "
            "matrix[None] is one of a single group"
        )
    return matrix


def _largest(norms: Tensor, keep: int, what: str) -> Tensor:
    """Whether each of [groups, n] is among the `keep` largest of its group."""
    count = _check.integer("keep", keep, at_least=1)
    if count > norms.shape[1]:
        raise ConfigError(f"keep={count}; expected at most the {norms.shape[1]} {what} there are")
    kept = norms.topk(count, dim=1).indices
    return torch.zeros_like(norms, dtype=torch.bool).scatter_(1, kept, True)


def _fragments(matrix: Tensor, size: int) -> Tensor:
    """[groups, outputs, fragments, size], the last fragment filled up with zeros."""
    size = _check.integer("size", size, at_least=1)
    padded = F.pad(matrix, (0, -matrix.shape[2] % size))
    return padded.reshape(*matrix.shape[:2], -1, size)


def _padded(matrix: Tensor, shape: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Whole blocks, and how many there are along outputs and inputs."""
    high, wide = (_check.integer("a side of a block", side, at_least=1) for side in shape)
    padded = F.pad(matrix, (0, -matrix.shape[2] % wide, 0, -matrix.shape[1] % high))
    return padded, (padded.shape[1] // high, padded.shape[2] // wide)
