"""Layers that are one matrix, of the parameters `weight` and `bias`."""

from typing import cast

from torch import Tensor, nn

from memcore.contracts.layer import Layer, Operand
from memcore.nn.matrix import Matrix


class SingleMatrix(Layer):
    """Base of layers whose only matrix is made of the parameters `weight` and `bias`."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    @property
    def matrix(self) -> Matrix:
        """The matrix."""
        return cast(Matrix, self.matrices._modules["weight"])

    @property
    def effective_weight(self) -> Tensor:
        """The weights that the cells stand for, in the shape of `weight`."""
        return self.shaped(self.matrix.stands_for(self.operands()["weight"]).weight)

    @property
    def effective_bias(self) -> Tensor | None:
        """The bias that is added: the cells' if it is mapped, else `bias`."""
        return self.matrix.stands_for(self.operands()["weight"]).bias

    def exact(self) -> Operand:
        """Weight, in the shape of `weight`, and bias of the one product that an exact read is."""
        weight, bias = self.matrix.exact(self.operands()["weight"])
        return Operand(self.shaped(weight), bias)

    def shaped(self, matrix: Tensor) -> Tensor:
        """What the matrix [groups, outputs, inputs] holds, in the shape of `weight`."""
        return matrix.reshape(self.weight.shape)
