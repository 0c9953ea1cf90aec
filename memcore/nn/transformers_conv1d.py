"""`transformers.pytorch_utils.Conv1D` on crossbars, which Hugging Face's GPT-2 is made of."""

import sys

import torch
from torch import Tensor, nn

from memcore.contracts.layer import Operand, Trial
from memcore.errors import ShapeError
from memcore.nn.product import product
from memcore.nn.single import SingleMatrix


class Conv1D(nn.Module):
    """A linear layer whose weight is [inputs, outputs], to try the layer on without `transformers`.

    Args:
        nf: number of outputs.
        nx: number of inputs.
    """

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight = nn.Parameter(0.5 * torch.randn(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [..., outputs] of inputs [..., inputs]."""
        y = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return y.view(*x.shape[:-1], self.nf)


class TransformersConv1D(SingleMatrix):
    """`transformers.pytorch_utils.Conv1D` on crossbars: a linear layer whose weight is transposed.

    Its weight is [inputs, outputs]. It is known by its name, so `transformers` need not be there.
    """

    replaces = ("transformers.pytorch_utils.Conv1D", Conv1D)

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.nf: int = module.nf  # type: ignore[assignment]
        if hasattr(module, "nx"):  # of newer versions only
            self.nx: int = module.nx  # type: ignore[assignment]

    @classmethod
    def trials(cls) -> list[Trial]:
        foreign = sys.modules.get("transformers.pytorch_utils")
        made = (Conv1D if foreign is None else foreign.Conv1D)(5, 7)
        return [(made, (torch.randn(2, 3, 7),))]

    def operands(self) -> dict[str, Operand]:
        return {"weight": Operand(self.weight.t().unsqueeze(0), self.bias)}

    def shaped(self, matrix: Tensor) -> Tensor:
        return matrix.squeeze(0).t()

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [..., outputs] of inputs [..., inputs]."""
        operand = self.operands()["weight"]
        inputs = operand.weight.shape[-1]
        if not x.dim() or x.shape[-1] != inputs:
            raise ShapeError(f"x has shape {list(x.shape)}; expected [..., {inputs}]")
        return product(self.matrix, x, operand)

    def extra_repr(self) -> str:
        """Sizes, as the digital layer prints them."""
        outputs, inputs = self.matrix.crossbar.folded.shape[1:]
        return f"nf={outputs}, nx={inputs}"
