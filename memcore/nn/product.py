"""The product of a matrix of one group with vectors that lie in any number of dimensions."""

from torch import Tensor

from memcore.contracts.layer import Operand
from memcore.nn.matrix import Matrix


def product(matrix: Matrix, x: Tensor, operand: Operand) -> Tensor:
    """Outputs [..., outputs] of inputs [..., inputs] of a matrix of one group, the bias added."""
    y = matrix.prepared(operand)(x.reshape(-1, 1, x.shape[-1]))
    return y.reshape(*x.shape[:-1], y.shape[-1])
