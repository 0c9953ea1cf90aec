"""The same layer of the same chip, built and read in another way."""

from collections.abc import Callable
from typing import cast

from memcore.contracts.layer import Layer, Operand
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.writings import Writings
from memcore.nn.matrix import Matrix


def reconfigured(
    layer: Layer,
    change: Callable[[CrossbarConfig], CrossbarConfig],
    writings: Writings | None = None,
) -> Layer:
    """A copy of a layer on the same chip, each of its matrices with another configuration.

    Args:
        layer: the layer, which stays as it is; parameters are shared.
        change: from the configuration of a matrix to the one wanted.
        writings: what other variants of this chip hold.
    """

    def build(name: str, operand: Operand, parts: tuple[int, ...] = ()) -> Matrix:
        del parts  # the matrix knows them
        matrix = cast(Matrix, layer.matrices[name])
        return matrix.reconfigured(change(matrix.crossbar.config), operand, writings)

    return type(layer).of(layer.digital(), build)
