"""A matrix, and noisy products of it with random vectors, the same on every machine."""

from torch import Tensor

from memcore.random import Stream


def vectors(size: int, count: int, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """A square matrix of uniform weights, vectors, and what it makes of them.

    Args:
        size: number of rows, and of columns.
        count: number of vectors.
        noise: standard deviation of what is added to each product.

    Returns:
        The matrix [size, size] with weights from -0.5 to 0.5, inputs [count, size] with a standard
        deviation of 1, and outputs [count, size].
    """
    stream = Stream(0).child("products")
    matrix = stream.child("matrix").uniform((size, size)) - 0.5
    inputs = stream.child("inputs").normal((count, size))
    return matrix, inputs, inputs @ matrix.T + noise * stream.child("noise").normal((count, size))
