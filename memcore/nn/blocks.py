"""Inputs in blocks, so that what lies between them and the outputs stays small."""

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor

from memcore.contracts.layer import Layer
from memcore.nn.first_ranges import take_ranges
from memcore.nn.walk import matrices

#: Values in memory at once, beside inputs and outputs.
_MOST = 1 << 24


def in_blocks(layer: Layer, x: Tensor, values: int, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """What a layer computes from inputs [n, ...], some of them at a time.

    Compiled, all are computed at once: their number may be a symbol.

    Args:
        layer: whose arrays are read.
        x: inputs.
        values: how many are in memory for each input.
        compute: from some inputs to their outputs.
    """
    at_once = max(1, _MOST // max(1, values))
    if torch.compiler.is_compiling() or len(x) <= at_once:
        return compute(x)
    parts = torch.split(x, at_once)
    take_ranges(layer, len(x), lambda: [compute(part) for part in parts])
    with ExitStack() as one:  # the cells that a training writes are those of all blocks
        for matrix in matrices(layer).values():
            one.enter_context(matrix.one_read(len(parts)))
        return torch.cat([compute(part) for part in parts])
