"""`torch.nn.RNNCell`, `LSTMCell` and `GRUCell` on crossbars."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from memcore.contracts.layer import Layer, Operand, Trial
from memcore.errors import ShapeError
from memcore.nn.gating import GATINGS, CellWeights, Gating, State
from memcore.nn.recurrence import Apart, Arrays, Joint, both_parts, require_states


class RecurrentCell(Layer):
    """`torch.nn.RNNCell`, `LSTMCell` and `GRUCell` on crossbars: one step of a sequence.

    The matrices `weight_ih` and `weight_hh` have converters and ranges of their own. Gates, sums
    and the products of gates and states are digital.
    """

    replaces = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
    arrays: ClassVar[Arrays] = Apart()

    input_size: int
    hidden_size: int
    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    @classmethod
    def trials(cls) -> list[Trial]:
        x, h = torch.randn(3, 5), torch.randn(3, 4)
        return [
            (nn.LSTMCell(5, 4), (x, (h, torch.randn(3, 4)))),
            (nn.GRUCell(5, 4), (x, h)),
            (nn.RNNCell(5, 4, bias=False, nonlinearity="relu"), (x[0], h[0])),
        ]

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        kind = type(module).__name__.removesuffix("Cell")
        activation = getattr(module, "nonlinearity", "")
        self._mode = f"{kind}_{activation.upper()}" if activation else kind

    @property
    def gating(self) -> Gating:
        """What the gates do."""
        return GATINGS[self._mode]

    def operands(self) -> dict[str, Operand]:
        weights = CellWeights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return self.arrays.operands(self.gating, weights, "")

    def forward(
        self, input: Tensor, hx: Tensor | tuple[Tensor, Tensor] | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """The state after an input [n, input_size], as the digital cell has it."""
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"input has shape {list(input.shape)}; expected [n, {self.input_size}] or "
                f"[{self.input_size}]"
            )
        x = input if input.dim() == 2 else input.unsqueeze(0)
        state = self._state(hx, input)
        cell = self.arrays.cell(self, self.gating, "")
        after = self.gating.step(cell.sums(cell.inputs(x), state[0]), state)
        if input.dim() == 1:
            after = tuple(each.squeeze(0) for each in after)
        return after if self.gating.states > 1 else after[0]

    def _state(self, hx: Tensor | tuple[Tensor, Tensor] | None, input: Tensor) -> State:
        """The state before, [n, hidden_size] each."""
        shape = [*input.shape[:-1], self.hidden_size]
        if hx is None:
            given = tuple(input.new_zeros(shape) for _ in range(self.gating.states))
        else:
            given = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        shapes = [list(each.shape) for each in given]
        if shapes != [shape] * self.gating.states:
            raise ShapeError(
                f"the state hx has shapes {shapes}; expected {[shape] * self.gating.states}"
            )
        require_states(input, given)
        return given if input.dim() == 2 else tuple(each.unsqueeze(0) for each in given)

    def extra_repr(self) -> str:
        """As the digital cell prints."""
        digital: nn.Module = self.__dict__["_digital"]
        return digital.extra_repr()


class JointRecurrentCell(RecurrentCell):
    """`torch.nn.RNNCell`, `LSTMCell` and `GRUCell` on crossbars, input and state on one array.

    The matrix `weight` holds both and is read once a step; its DACs have a range for each. They
    stay apart unless a configuration asks for them together: `layers=["joint_recurrent_cell"]`.
    """

    replaces = RecurrentCell.replaces
    arrays = Joint()
    on_request = True

    @classmethod
    def trials(cls) -> list[Trial]:
        return [(nn.GRUCell(5, 4), (torch.randn(3, 5), torch.randn(3, 4)))]

    def input_parts(self, name: str) -> tuple[int, ...]:
        return both_parts(self, name)
