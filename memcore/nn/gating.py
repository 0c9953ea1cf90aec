"""The digital part of recurrent layers: from sums of products to the next state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from memcore.contracts.layer import Operand

#: The hidden state, and the cell state of an LSTM behind it, [n, size] each.
State = tuple[Tensor, ...]


class CellWeights(NamedTuple):
    """The parameters of one cell, as torch has them.

    Args:
        ih: weights of the input, [blocks * hidden, inputs].
        hh: weights of the hidden state, [blocks * hidden, state].
        bias_ih: [blocks * hidden], None for none.
        bias_hh: [blocks * hidden], None for none.
    """

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None


@dataclass(frozen=True)
class Gating:
    """How the sums of a recurrent cell become its next state.

    Args:
        step: from the sums and the state to the next state.
        blocks: number of sums for each unit.
        apart: how many of them, the last ones, keep input and state apart: `step` takes each
            twice, first what the input adds and then what the state adds.
        states: number of tensors in the state.
    """

    step: Callable[[tuple[Tensor, ...], State], State]
    blocks: int
    apart: int = 0
    states: int = 1

    def sums(self, of_input: Tensor, of_state: Tensor) -> tuple[Tensor, ...]:
        """What `step` takes, of the products with the input and with the state."""
        if not self.apart:
            return (of_input + of_state).chunk(self.blocks, -1)
        pairs = (of_input.chunk(self.blocks, -1), of_state.chunk(self.blocks, -1))
        together = self.blocks - self.apart
        added = [x + h for x, h in zip(*(pair[:together] for pair in pairs), strict=True)]
        return (*added, *pairs[0][together:], *pairs[1][together:])

    def joint(self, weights: CellWeights) -> Operand:
        """One matrix for input and state, one behind the other; its products are what `step` takes.

        Sums that keep the two apart have columns of their own for each, zero for the other.
        """
        ih, hh, bias_ih, bias_hh = weights
        cut = len(ih) // self.blocks * (self.blocks - self.apart)
        rows = [torch.cat([ih[:cut], hh[:cut]], dim=1)]
        if self.apart:
            from_input, from_state = ih[cut:], hh[cut:]
            nothing = [
                from_input.new_zeros(from_state.shape),
                from_state.new_zeros(from_input.shape),
            ]
            rows.append(torch.cat([from_input, nothing[0]], dim=1))
            rows.append(torch.cat([nothing[1], from_state], dim=1))
        weight = torch.cat(rows).unsqueeze(0)
        if bias_ih is None or bias_hh is None:
            return Operand(weight)
        bias = torch.cat([bias_ih[:cut] + bias_hh[:cut], bias_ih[cut:], bias_hh[cut:]])
        return Operand(weight, bias)


def _lstm(sums: tuple[Tensor, ...], state: State) -> State:
    let_in, keep, new, out = sums
    c = keep.sigmoid() * state[1] + let_in.sigmoid() * new.tanh()
    return out.sigmoid() * c.tanh(), c


def _gru(sums: tuple[Tensor, ...], state: State) -> State:
    reset, update, of_input, of_state = sums
    new = (of_input + reset.sigmoid() * of_state).tanh()
    return (new + update.sigmoid() * (state[0] - new),)


def _tanh(sums: tuple[Tensor, ...], state: State) -> State:
    del state
    return (sums[0].tanh(),)


def _relu(sums: tuple[Tensor, ...], state: State) -> State:
    del state
    return (sums[0].relu(),)


#: By the name that torch has for it, `mode` of its recurrent layers.
GATINGS: Final[dict[str, Gating]] = {
    "LSTM": Gating(_lstm, blocks=4, states=2),
    "GRU": Gating(_gru, blocks=3, apart=1),
    "RNN_TANH": Gating(_tanh, blocks=1),
    "RNN_RELU": Gating(_relu, blocks=1),
}
