"""How columns of an array are read: with which inputs, and whether they have to be."""

import torch
from torch import Tensor

from memcore.crossbar.crossbar import Crossbar


def largest_inputs(crossbar: Crossbar, dtype: torch.dtype) -> Tensor:
    """The largest input that the DAC of each word line represents, with its sign, [inputs].

    It is 1 without a DAC, or with a range of 0, and for the constant input.
    """
    port, constants = crossbar.input, int(crossbar.constant)
    low, high = port.range.to(dtype).unbind(1)
    most = torch.where(high >= -low, high, low)
    most = torch.where(most.abs() > 0, most, 1.0)
    sizes = port.parts or (crossbar.tiling.rows - constants,)
    each = [one.expand(size) for one, size in zip(most, sizes, strict=True)]
    return torch.cat([*each, most.new_ones(constants)])


def shows_columns(crossbar: Crossbar) -> bool:
    """Whether a read of a single input of 1 is a column of what the cells stand for."""
    exact = crossbar.exact_reader if crossbar.reads_exactly else None
    return exact is not None and exact.dac is None and not exact.constant
