"""Parameters that follow what cells stand for, in the same memory where that is possible."""

import torch
from torch import Tensor, nn

from memcore.contracts.layer import Operand
from memcore.nn.matrix import Matrix


@torch.no_grad()
def follow(matrix: Matrix, operand: Operand, *, shares: bool) -> None:
    """Let the parameters of a matrix be what its cells stand for.

    Args:
        matrix: the matrix.
        operand: weights and bias, which change.
        shares: whether reads may use the memory of the weights, which nothing else follows.
    """
    matrix.crossbar.mind()
    read = matrix.stands_for(operand)
    if not _is_same(read.weight, operand.weight):
        operand.weight.copy_(read.weight.view_as(operand.weight))
        if shares and _may_lie_in(matrix, operand.weight):
            matrix.crossbar.lie_in(operand.weight.detach().view_as(matrix.crossbar.folded))
    if matrix.maps_bias and operand.bias is not None and read.bias is not None:
        operand.bias.copy_(read.bias)


def _is_same(folded: Tensor, weight: Tensor) -> bool:
    """Whether both are the same memory."""
    at_one_place = folded.data_ptr() == weight.data_ptr() and folded.dtype == weight.dtype
    return at_one_place and folded.is_contiguous() and folded.numel() == weight.numel()


def _may_lie_in(matrix: Matrix, weight: Tensor) -> bool:
    """Whether what a single array stands for has the form and the kind of its parameter."""
    crossbar = matrix.crossbar
    if matrix.maps_bias or len(matrix.crossbars) > 1 or crossbar.exact_reader is None:
        return False
    owner = weight if weight._base is None else weight._base
    alike = (weight.dtype, weight.device) == (crossbar.folded.dtype, crossbar.folded.device)
    is_own = isinstance(owner, nn.Parameter) and type(owner.data) is Tensor
    # Parts of one parameter would not know which of them has changed.
    fits = weight.is_contiguous() and owner.numel() == weight.numel() == crossbar.folded.numel()
    return is_own and alike and fits and matrix.is_recorded
