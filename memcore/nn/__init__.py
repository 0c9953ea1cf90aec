"""Memristive layers: ordinary modules whose products are computed by crossbars."""

from memcore.contracts.layer import Layer, Operand
from memcore.nn.bilinear import Bilinear
from memcore.nn.conv import Conv
from memcore.nn.conv_transpose import ConvTranspose
from memcore.nn.embedding import Embedding, EmbeddingBag
from memcore.nn.first_ranges import take_ranges
from memcore.nn.linear import Linear
from memcore.nn.matrix import Matrix
from memcore.nn.recurrent import JointRecurrent, Recurrent
from memcore.nn.recurrent_cell import JointRecurrentCell, RecurrentCell

__all__ = [
    "Bilinear",
    "Conv",
    "ConvTranspose",
    "Embedding",
    "EmbeddingBag",
    "JointRecurrent",
    "JointRecurrentCell",
    "Layer",
    "Linear",
    "Matrix",
    "Operand",
    "Recurrent",
    "RecurrentCell",
    "take_ranges",
]
