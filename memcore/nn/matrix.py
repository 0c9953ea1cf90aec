"""`Matrix`: one weight matrix on crossbars, with gradients for what it should hold."""

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.layer import Operand
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ConfigError
from memcore.ops.surrogate import straight_through, through_product
from memcore.random import Stream


class Matrix(nn.Module):
    """One weight matrix on crossbars.

    What it should hold, its operand, belongs to the layer and is handed in; `crossbar` is what its
    cells hold. The product uses the cells; gradients go straight through to the operand.

    Args:
        operand: weights and bias.
        config: how the arrays are built and read.
        random: the stream of the matrix.
        name: qualified name, for messages.
        parts: sizes of the parts of the inputs that have a DAC range each, () for one range.

    Raises:
        ConfigError: the configuration has no mapper, or the arrays cannot hold the operand.
    """

    def __init__(
        self,
        operand: Operand,
        config: CrossbarConfig,
        random: Stream,
        name: str,
        parts: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if config.mapper is None or config.programmer is None:
            raise ConfigError(
                "the configuration has no mapper or no programmer, which weights need; expected a "
                "CrossbarConfig with both"
            )
        self.maps_bias = operand.bias is not None and config.bias == "mapped"
        self.crossbar = Crossbar.of_weight(
            self._matrix(operand).transpose(1, 2),
            config,
            random,
            name=name,
            constant=self.maps_bias,
            parts=parts,
        )
        self.crossbar.register_forward_pre_hook(_no_shortcut)

    def forward(self, x: Tensor, operand: Operand) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs], the bias added."""
        matrix = self._matrix(operand)
        crossbar, lines = self.crossbar, None
        if torch.is_grad_enabled() and (x.requires_grad or matrix.requires_grad):
            lines = crossbar.driven(x)
        with torch.no_grad():
            y: Tensor = crossbar(x, lines)
        if lines is not None:
            y = through_product(y, lines, matrix, crossbar.folded)
        if operand.bias is None or self.maps_bias:
            return y
        return y + operand.bias.view(len(operand.weight), -1)

    def prepared(self, operand: Operand) -> Callable[[Tensor], Tensor]:
        """`forward` with one operand for several reads, [n, groups, inputs] each.

        Where reads are exact, what the cells stand for is derived once.
        """
        if not self.reads_exactly or len(operand.weight) != 1:
            return lambda x: self(x, operand)
        weight, bias = self.exact(operand)
        return lambda x: F.linear(self.crossbar.input(x), weight[0], bias)

    @property
    def reads_exactly(self) -> bool:
        """Whether a read is the product with `exact` and nothing else."""
        return self.crossbar.reads_exactly

    def exact(self, operand: Operand) -> Operand:
        """What the cells stand for, with gradients for what they should hold."""
        weight, bias = self.stands_for(operand)
        if not torch.is_grad_enabled():
            return Operand(weight, bias)
        weight = straight_through(weight, operand.weight)
        if bias is None or operand.bias is None or not self.maps_bias:
            return Operand(weight, bias)
        return Operand(weight, straight_through(bias, operand.bias))

    def stands_for(self, operand: Operand) -> Operand:
        """What the cells stand for; the bias is that of the operand where it is not mapped."""
        folded = self.crossbar.folded
        if not self.maps_bias:
            return Operand(folded, operand.bias)
        return Operand(folded[..., :-1], folded[..., -1].flatten())

    def holds(self, operand: Operand) -> bool:
        """Whether the cells are what writing the operand, with the same draws, would make them."""
        cells = self.crossbar.cells
        with torch.no_grad():
            again = cells.again(self._matrix(operand).transpose(1, 2))
        return torch.equal(again.conductance, cells.programmed)

    def program(self, operand: Operand) -> None:
        """Write the operand into the cells again."""
        self.crossbar.write(self._matrix(operand).transpose(1, 2))

    def reconfigured(self, config: CrossbarConfig, operand: Operand) -> Self:
        """The same matrix of the same chip, built and read as another configuration says."""
        old = self.crossbar
        matrix = type(self)(operand, config, old.cells.random, old.cells.name, old.input.parts)
        new = matrix.crossbar
        if config.dac is not None:
            new.input.range.copy_(old.input.range)
        if config.adc is not None and new.output.range.shape == old.output.range.shape:
            new.output.range.copy_(old.output.range)
            new.output.rescale(new.input_scale / old.input_scale)
        if old.cells.writes:
            new.repeat(old, self._matrix(operand).transpose(1, 2))
        new.reads.copy_(old.reads)
        new.set_clock(old.cells.clock.segments.clone())
        return matrix

    def _matrix(self, operand: Operand) -> Tensor:
        """What the cells should hold, [groups, outputs, inputs]."""
        weight, bias = operand
        if bias is None or not self.maps_bias:
            return weight
        return torch.cat([weight, bias.view(len(weight), -1, 1)], dim=2)


def _no_shortcut(crossbar: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Make torch call the layer: `nn.TransformerEncoderLayer` reads `weight` past it otherwise.

    The fused path that it takes in evaluation is open to modules without hooks only.
    """
    del crossbar, inputs
