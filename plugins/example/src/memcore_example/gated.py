"""A linear layer with a gate, digital and on crossbars."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore import Layer, Operand, ShapeError


class GatedLinear(nn.Module):
    """y = (W x + b) * sigmoid(V x): each output has a gate that sees the same inputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.gate = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [..., outputs] of inputs [..., inputs]."""
        return F.linear(x, self.value, self.bias) * F.linear(x, self.gate).sigmoid()


class MemristiveGatedLinear(Layer):
    """`GatedLinear` with W and V on crossbars; the sigmoid and the product stay digital."""

    replaces = (GatedLinear,)

    value: nn.Parameter
    gate: nn.Parameter
    bias: nn.Parameter

    @classmethod
    def trials(cls) -> list[tuple[nn.Module, tuple[Tensor, ...]]]:
        return [(GatedLinear(7, 5), (torch.randn(2, 3, 7),))]

    def operands(self) -> dict[str, Operand]:
        return {
            "value": Operand(self.value.unsqueeze(0), self.bias),
            "gate": Operand(self.gate.unsqueeze(0)),
        }

    def forward(self, x: Tensor) -> Tensor:
        """As `GatedLinear.forward`."""
        outputs, inputs = self.value.shape
        if x.shape[-1] != inputs:
            raise ShapeError(f"x has shape {list(x.shape)}; expected [..., {inputs}]")
        rows = x.reshape(-1, 1, inputs)  # one group
        y = self.read("value", rows) * self.read("gate", rows).sigmoid()
        return y.reshape(*x.shape[:-1], outputs)
