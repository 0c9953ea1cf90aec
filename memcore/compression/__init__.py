"""Smaller networks: what passes of compression are made of, and what they leave.

Passes are plugins of the registry `memcore.compressions`; `memcore.compress` runs them.
"""

from memcore._keywords import hint_all
from memcore.compression import projections
from memcore.compression.books import kmeans, nearest
from memcore.compression.collected import inputs_of_layers
from memcore.compression.levels import nearest_levels, states
from memcore.compression.lookup import (
    CodebookConv2d,
    CodebookLinear,
    TableSize,
    refuses_codebook,
    table_sizes,
    with_codebooks,
)
from memcore.compression.matrices import last_layer, matrix_of, prunable, write_matrix
from memcore.compression.removal import without_unused
from memcore.compression.rows import LookupActivation, activations
from memcore.compression.sizes import CompressionReport, LayerSize, sizes

__all__ = [
    "CodebookConv2d",
    "CodebookLinear",
    "CompressionReport",
    "LayerSize",
    "LookupActivation",
    "TableSize",
    "activations",
    "inputs_of_layers",
    "kmeans",
    "last_layer",
    "matrix_of",
    "nearest",
    "nearest_levels",
    "projections",
    "prunable",
    "refuses_codebook",
    "sizes",
    "states",
    "table_sizes",
    "with_codebooks",
    "without_unused",
    "write_matrix",
]

hint_all(globals(), __all__)
