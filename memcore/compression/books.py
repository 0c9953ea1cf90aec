"""Codebooks of numbers: one-dimensional k-means, and the search for the nearest entry."""

import torch
from torch import Tensor

from memcore import _check
from memcore.errors import ConfigError, ShapeError


def kmeans(values: Tensor, size: int, *, rounds: int = 300) -> Tensor:
    """The entries of a codebook, ascending, float64 [size]: k-means from quantiles, without chance.

    Lloyd's rounds go on until no value changes its entry. Where there are no more than `size`
    distinct values these are the entries, the last one repeated.

    Args:
        values: numbers of any shape.
        size: number of entries.
        rounds: rounds at most.

    Raises:
        ConfigError: there are no values, or some are infinite or NaN; or another argument does not
            fit.
    """
    size = _check.integer("size", size, at_least=1)
    rounds = _check.integer("rounds", rounds, at_least=0)
    _check.tensor("values", values, "of any shape", "numbers", any_real=True)
    if not values.numel() or not bool(values.isfinite().all()):
        raise ConfigError(
            f"{values.numel()} values, or infinite ones or NaN among them; expected finite numbers "
            "to make a codebook of"
        )
    ordered = values.detach().flatten().double().sort().values
    distinct = torch.unique(ordered)
    if len(distinct) <= size:
        return torch.cat([distinct, distinct[-1:].expand(size - len(distinct))])
    at = (torch.arange(size, device="cpu") + 0.5) * len(distinct) / size
    book: Tensor = distinct[at.long()]
    sums = torch.cat([ordered.new_zeros(1), ordered.cumsum(0)])
    before: Tensor | None = None
    for _ in range(rounds):
        borders = torch.searchsorted(ordered, (book[1:] + book[:-1]) / 2, right=True)
        if before is not None and torch.equal(borders, before):
            break
        before = borders
        ends = torch.cat([borders.new_zeros(1), borders, borders.new_full((1,), len(ordered))])
        counts, totals = ends.diff(), sums[ends].diff()
        book = torch.where(counts > 0, totals / counts.clamp(min=1), book)
    return book


def nearest(book: Tensor, values: Tensor) -> Tensor:
    """The index of the entry at the smallest distance, the lower one of two; int64.

    Args:
        book: entries, ascending, [size].
        values: of any shape.

    Raises:
        ShapeError: the codebook has no entries, or more than one dimension.
    """
    if book.dim() != 1 or not book.numel():
        raise ShapeError(f"book has shape {list(book.shape)}; expected [size] entries, ascending")
    middle = (book[1:] + book[:-1]) / 2
    return torch.bucketize(values.detach().to(book.dtype).contiguous(), middle)
