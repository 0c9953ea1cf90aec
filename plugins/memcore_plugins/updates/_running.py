"""Running means of the largest inputs and errors, which rates follow."""

from torch import Tensor

_KEPT = 0.99  #: of a mean at each vector


def means_behind(mean: Tensor, values: Tensor) -> Tensor:
    """Running means behind each of n vectors, where values above 0 count, [n, 2, groups].

    They are computed vector by vector, so that those of a batch are those of its vectors to the
    bit.

    Args:
        mean: running means before, [2, groups]; 0 where none counted.
        values: largest inputs and errors, [n, 2, groups].
    """
    if not len(values):
        return mean.expand(1, *mean.shape)
    before, means = mean.flatten().tolist(), []
    for row in values.flatten(1).tolist():  # a few numbers each, for which tensors take long
        before = [_later(*each) for each in zip(before, row, strict=True)]
        means.append(before)
    return mean.new_tensor(means).view(-1, *mean.shape)


def _later(mean: float, value: float) -> float:
    if not value > 0:
        return mean
    return _KEPT * (mean if mean > 0 else value) + (1 - _KEPT) * value
