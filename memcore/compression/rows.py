"""Activations as tables of rows, of which the nearest counts."""

from typing import Self

import torch
from torch import Tensor, nn

from memcore import _check
from memcore.compression.books import nearest
from memcore.errors import ConfigError

#: Activations of single values, without parameters that are trained.
ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign),
)


class LookupActivation(nn.Module):
    """An activation as a table: the value of the row whose argument is nearest.

    Args:
        rows: number of rows.
        activation: what the rows stand for, whose gradient is used; None once it is not trained.
    """

    arguments: Tensor
    values: Tensor

    def __init__(self, rows: int, activation: nn.Module | None = None) -> None:
        super().__init__()
        if _check.integer("rows", rows) < 1:
            raise ConfigError(f"rows={rows}; expected at least 1 row")
        self.activation = activation
        self.register_buffer("arguments", torch.zeros(rows, dtype=torch.float64, device="cpu"))
        self.register_buffer("values", torch.zeros(rows, dtype=torch.float64, device="cpu"))

    @torch.no_grad()
    def take(self, samples: Tensor) -> Self:
        """Rows at the quantiles of some arguments."""
        if self.activation is None:
            raise ConfigError("the table stands for no activation; expected one to take values of")
        rows = len(self.arguments)
        ordered = samples.flatten().double().sort().values
        at = (torch.arange(rows, device="cpu") + 0.5) * len(ordered) / rows
        self.arguments = ordered[at.long()].to(self.arguments)
        self.values = self.activation(self.arguments.clone()).to(self.values)
        return self

    def forward(self, input: Tensor) -> Tensor:
        """Values of the nearest rows; the gradient is that of the activation."""
        found = self.values[nearest(self.arguments, input)].to(input.dtype)
        if self.activation is None or not input.requires_grad:
            return found
        exact: Tensor = self.activation(input.clone())
        return exact + (found - exact).detach()

    @property
    def table_bytes(self) -> int:
        """Bytes of arguments and values, 4 each."""
        return 8 * len(self.arguments)


def activations(model: nn.Module) -> dict[str, nn.Module]:
    """The activations of a network that a table of rows can stand for, by qualified name."""
    every = model.named_modules()
    return {name: module for name, module in every if name and type(module) in ACTIVATIONS}
