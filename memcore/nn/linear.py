"""`torch.nn.Linear` on crossbars."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.layer import Operand, Trial
from memcore.errors import ArgumentTypeError, ShapeError
from memcore.nn.single import SingleMatrix


class Linear(SingleMatrix):
    """`torch.nn.Linear` on crossbars: each input vector is one read."""

    replaces = (nn.Linear,)

    in_features: int
    out_features: int

    @classmethod
    def trials(cls) -> list[Trial]:
        return [
            (nn.Linear(7, 5), (torch.randn(6, 7),)),
            (nn.Linear(9, 4, bias=False), (torch.randn(2, 3, 9),)),
        ]

    def operands(self) -> dict[str, Operand]:
        return {"weight": Operand(self.weight.unsqueeze(0), self.bias)}

    def shaped(self, matrix: Tensor) -> Tensor:
        return matrix.squeeze(0)

    def forward(self, input: Tensor) -> Tensor:
        """Outputs [..., out_features] of inputs [..., in_features]."""
        if not isinstance(input, Tensor):
            raise ArgumentTypeError(
                f"input is a {type(input).__name__}; expected a tensor: use torch.as_tensor"
            )
        nested = input.is_nested  # as nn.TransformerEncoder passes on, to leave out padding
        if not nested and (not input.dim() or input.shape[-1] != self.in_features):
            raise ShapeError(
                f"input has shape {list(input.shape)}; expected [..., {self.in_features}]"
            )
        matrix = self.matrix
        if not nested:
            y = matrix.directly(input, self.weight, self.bias)
            if y is not None:
                return y
        if matrix.reads_exactly:
            held = matrix.exact_for(input, self.operands()["weight"])
            if held is not None:
                matrix.require_dtype(input, held.weight.dtype)
                return F.linear(matrix.applied(input), self.shaped(held.weight), held.bias)
        if nested:
            return torch.nested.as_nested_tensor([self.forward(row) for row in input.unbind()])
        y = self.read("weight", input.reshape(-1, 1, self.in_features))
        return y.view(*input.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """As the digital layer prints."""
        return f"in_features={self.in_features}, out_features={self.out_features}"
