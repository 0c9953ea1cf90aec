"""The product of a matrix of one group with vectors that lie in any number of dimensions."""

import torch.nn.functional as F
from torch import Tensor

from memcore.contracts.layer import Operand
from memcore.nn.matrix import Matrix


def product(matrix: Matrix, x: Tensor, operand: Operand) -> Tensor:
    """Outputs [..., outputs] of inputs [..., inputs] of a matrix of one group, the bias added."""
    if matrix.reads_exactly:
        weight, bias = matrix.exact(operand)
        return F.linear(matrix.crossbar.input(x), weight.squeeze(0), bias)
    y = matrix(x.reshape(-1, 1, x.shape[-1]), operand)
    outputs: Tensor = y.reshape(*x.shape[:-1], y.shape[-1])
    return outputs
