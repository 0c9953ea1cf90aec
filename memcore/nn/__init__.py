"""Memristive layers: ordinary modules whose products are computed by crossbars."""

from memcore.contracts.layer import Layer, Operand
from memcore.nn.attention import MultiheadAttention
from memcore.nn.bilinear import Bilinear
from memcore.nn.conv import Conv
from memcore.nn.conv_transpose import ConvTranspose
from memcore.nn.embedding import Embedding, EmbeddingBag
from memcore.nn.first_ranges import take_ranges
from memcore.nn.linear import Linear
from memcore.nn.matrix import Matrix
from memcore.nn.recurrent import JointRecurrent, Recurrent
from memcore.nn.recurrent_cell import JointRecurrentCell, RecurrentCell
from memcore.nn.transformers_conv1d import TransformersConv1D

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
    "MultiheadAttention",
    "Operand",
    "Recurrent",
    "RecurrentCell",
    "TransformersConv1D",
    "take_ranges",
]
