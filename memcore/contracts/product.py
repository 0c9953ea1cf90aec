"""`Product`: what multiplies the voltages of arrays, as effects of `Stage.MVM` return it."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from memcore.circuit.array import ArrayCircuit


class Product(nn.Module):
    """Base of forms of `Stage.MVM`: from voltages on word lines to currents of bit lines.

    A form overrides `currents`, or `matrix` where its currents are linear in the voltages. Any
    other module with `forward(v, g)` is a product too, of which nothing else is known.
    """

    def currents(self, v: Tensor, g: Tensor) -> Tensor:
        """Currents [reads, arrays, cols] A of v [reads, arrays, rows] V.

        Args:
            v: voltages of the word lines.
            g: conductances, [1 or reads, arrays, rows, cols] S.
        """
        matrices = torch.stack([self.matrix(each) for each in g])
        return (v.unsqueeze(-2) @ matrices).squeeze(-2)

    def matrix(self, g: Tensor) -> Tensor:
        """Currents per volt, [arrays, rows, cols] S, for conductances of that shape.

        To be overridden where the currents are linear in the voltages. A linear product costs
        nothing at a read: its matrix is derived once for each state of the cells. What a read
        changes in single cells then counts by the square of matrix over conductance: how much
        voltage a cell sees, and how much of its current arrives. No new matrix is derived for a
        read.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither currents nor matrix")

    @property
    def is_linear(self) -> bool:
        """Whether there is a `matrix`."""
        return type(self).matrix is not Product.matrix

    def circuit(self, g: Tensor) -> "ArrayCircuit | None":
        """The circuit that is solved for these currents, for conductances [arrays, rows, cols] S.

        With [reads, arrays, rows, cols] it is one of many vectors. None if there is none: then
        `Crossbar.solve` and netlists refuse it.
        """
        del g
        return None

    def stay(self, before: "Product") -> None:
        """Take over what was decided for life when the same arrays were bound `before`."""
        del before

    def forward(self, v: Tensor, g: Tensor) -> Tensor:
        """As `currents`."""
        return self.currents(v, g)


#: The name of before, for forms that are linear in the voltages.
Effective = Product
