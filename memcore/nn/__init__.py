"""Memristive layers: ordinary modules whose products are computed by crossbars."""

from memcore.contracts.layer import Layer, Operand
from memcore.nn.conv import Conv
from memcore.nn.linear import Linear
from memcore.nn.matrix import Matrix

__all__ = ["Conv", "Layer", "Linear", "Matrix", "Operand"]
