"""`torch.nn.RNN`, `LSTM` and `GRU` on crossbars."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import ClassVar, Final, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from memcore.contracts.computed import is_computed
from memcore.contracts.layer import Layer, Operand, Trial
from memcore.errors import ShapeError
from memcore.nn.first_ranges import take_ranges
from memcore.nn.gating import GATINGS, CellWeights, Gating, State
from memcore.nn.recurrence import Apart, Arrays, Joint, both_parts, require_states, rows
from memcore.nn.recurrent_at_once import read_at_once
from memcore.nn.walk import matrices

P = ParamSpec("P")
R = TypeVar("R")

#: `torch.backends.mkldnn.is_available()`, which no compiler follows.
_ONE_DNN: Final[bool] = torch._C._has_mkldnn
#: Keeps a function out of graphs, where one is asked for.
_uncompiled: Callable[[Callable[P, R]], Callable[P, R]] = torch.compiler.disable
#: From one step of a sequence and the state before it to the state after it.
Step = Callable[[Tensor, State], State]


class Recurrent(Layer):
    """`torch.nn.RNN`, `LSTM` and `GRU` on crossbars, input and state on arrays of their own.

    Each layer and direction has the matrices `weight_ih` and `weight_hh`, and `weight_hr` where
    the hidden state is projected, with the converters and ranges of each. Every step reads them;
    gates, sums and the products of gates and states are digital.
    """

    replaces = (nn.RNN, nn.LSTM, nn.GRU)
    arrays: ClassVar[Arrays] = Apart()

    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    @classmethod
    def refuses(cls, module: nn.Module) -> str:
        names: list[str] = module._flat_weights_names  # type: ignore[assignment]
        lost = (n for n in names if n not in module._parameters and not is_computed(module, n))
        first = next(lost, None)
        return "" if first is None else f"its {first} is no parameter"

    @classmethod
    def trials(cls) -> list[Trial]:
        x = (torch.randn(4, 3, 5),)
        return [
            (nn.LSTM(5, 4, bidirectional=True), x),
            (nn.GRU(5, 4, batch_first=True, num_layers=2), x),
            (nn.RNN(5, 4, nonlinearity="relu", bias=False), (torch.randn(4, 5),)),
        ]

    @property
    def gating(self) -> Gating:
        """What the gates do."""
        return GATINGS[self.mode]

    @property
    def suffixes(self) -> list[str]:
        """What the names of the parameters end with, layer by layer and direction by direction."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return [f"_l{k}{way}" for k in range(self.num_layers) for way in directions]

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction."""
        kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
        names = [[f"{kind}{suffix}" for kind in kinds] for suffix in self.suffixes]
        return [[getattr(self, n) for n in each if n in self._parameters] for each in names]

    def flatten_parameters(self) -> None:
        """Do nothing: cells hold the weights, wherever the parameters lie in memory."""

    def operands(self) -> dict[str, Operand]:
        operands: dict[str, Operand] = {}
        for suffix in self.suffixes:
            ih, hh = (getattr(self, f"weight_{each}{suffix}") for each in ("ih", "hh"))
            biases = (getattr(self, f"bias_{each}{suffix}", None) for each in ("ih", "hh"))
            weights = CellWeights(ih, hh, *biases)
            operands |= self.arrays.operands(self.gating, weights, suffix)
            if self.proj_size:
                weight: Tensor = getattr(self, f"weight_hr{suffix}")
                operands[f"weight_hr{suffix}"] = Operand(weight.unsqueeze(0))
        return operands

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor | tuple[Tensor, ...]]:
        """Outputs of all steps and the last state, as the digital layer has them."""
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        batched = input.dim() == 3
        steps_at = 1 if batched and self.batch_first else 0
        fits = input.dim() in (2, 3) and input.shape[-1] == self.input_size
        if not fits or not input.shape[steps_at]:
            raise ShapeError(
                f"input has shape {list(input.shape)}; expected "
                f"{self._expected()} or [steps, {self.input_size}], with at least one step"
            )
        x = input if batched else input.unsqueeze(1)
        x = x.transpose(0, 1) if batched and self.batch_first else x
        steps, batch = x.shape[:2]
        state = self._state(hx, x, batch, batched=batched)
        y, last = self._read(x.flatten(0, 1), [batch] * steps, state)
        dtype = self._dtype_of_autocast(x)
        if dtype is not None:
            y, last = y.to(dtype), tuple(each.to(dtype) for each in last)
        y = y.view(steps, batch, y.shape[1])
        if not batched:
            return y.squeeze(1), self._hidden(tuple(each.squeeze(1) for each in last))
        return (y.transpose(0, 1) if self.batch_first else y), self._hidden(last)

    def _dtype_of_autocast(self, x: Tensor) -> torch.dtype | None:
        """The dtype that outputs have under autocast; None for what sums of products give.

        torch has oneDNN compute an LSTM on a CPU, sequences of one length and no projection, and
        takes all of its outputs and states in the dtype of autocast. Gates of any other layer, and
        of packed sequences, are computed in the dtype of their states.
        """
        if not x.is_cpu or not torch.is_autocast_enabled("cpu") or x.dtype == torch.float64:
            return None
        fits = self.mode == "LSTM" and not self.proj_size and x.numel()
        return torch.get_autocast_dtype("cpu") if fits and _ONE_DNN else None

    def _expected(self) -> str:
        order = "n, steps" if self.batch_first else "steps, n"
        return f"[{order}, {self.input_size}]"

    def _packed(
        self, input: PackedSequence, hx: Tensor | tuple[Tensor, Tensor] | None
    ) -> tuple[PackedSequence, Tensor | tuple[Tensor, ...]]:
        x, sizes, order, back = input
        if x.dim() != 2 or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"the packed sequences have shape {list(x.shape)}; expected "
                f"[steps, {self.input_size}]"
            )
        counts: list[int] = sizes.tolist()
        state = self._state(hx, x, counts[0], batched=True)
        if hx is not None and order is not None:
            state = tuple(each.index_select(1, order) for each in state)
        y, last = self._read(x, counts, state)
        if back is not None:
            last = tuple(each.index_select(1, back) for each in last)
        return PackedSequence(y, sizes, order, back), self._hidden(last)

    def _hidden(self, state: State) -> Tensor | tuple[Tensor, ...]:
        """A state as torch returns it."""
        return state if self.gating.states > 1 else state[0]

    def _state(
        self,
        hx: Tensor | tuple[Tensor, Tensor] | None,
        x: Tensor,
        batch: int,
        *,
        batched: bool,
    ) -> State:
        """The states before the first step, [layers and directions, n, size] each."""
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[: self.gating.states]
        cells = len(self.suffixes)
        if hx is None:
            return tuple(x.new_zeros(cells, batch, size) for size in sizes)
        given = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        wanted = [[cells, batch, size] if batched else [cells, size] for size in sizes]
        shapes = [list(each.shape) for each in given]
        if shapes != wanted:
            raise ShapeError(f"the states of hx have shapes {shapes}; expected {wanted}")
        require_states(x, given)
        return given if batched else tuple(each.unsqueeze(1) for each in given)

    def _read(self, x: Tensor, sizes: list[int], state: State) -> tuple[Tensor, State]:
        """All layers, after converters without ranges have taken them from the whole pass."""
        every, compiles = matrices(self), torch.compiler.is_compiling()
        if compiles and any(matrix.counts_reads for matrix in every.values()):
            return _uncompiled(self._read)(x, sizes, state)
        if not self.training or compiles:
            take_ranges(self, x.shape[0], lambda: self._layers(x, sizes, state))
            return self._layers(x, sizes, state)
        for matrix in every.values():
            matrix.crossbar.numbering.recent.hold(2 * len(sizes))
        take_ranges(self, x.shape[0], lambda: self._layers(x, sizes, state))
        with ExitStack() as one:  # a chip has the same cells at all steps of a sequence
            for name, matrix in every.items():
                reads = 1 if name.startswith("weight_ih") else len(sizes)
                one.enter_context(matrix.one_read(reads))
            return self._layers(x, sizes, state)

    def _layers(self, x: Tensor, sizes: list[int], state: State) -> tuple[Tensor, State]:
        """Outputs [n, size] of all steps, and the last states.

        Args:
            x: inputs, those of all sequences at the first step, then at the second, ..., [n, size].
            sizes: how many sequences there are at each step, fewer and fewer.
            state: before the first step, [layers and directions, sequences, size] each.
        """
        last: list[State] = []
        for k in range(self.num_layers):
            if k and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for _ in range(2 if self.bidirectional else 1):
                index = len(last)
                before = tuple(each[index] for each in state)
                y, after = self._direction(self.suffixes[index], x, sizes, before)
                outputs.append(y)
                last.append(after)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        return x, tuple(torch.stack(each) for each in zip(*last, strict=True))

    def _direction(
        self, suffix: str, x: Tensor, sizes: list[int], state: State
    ) -> tuple[Tensor, State]:
        """One layer in one direction."""
        gating = self.gating
        at_once = None
        if not self.proj_size:
            at_once = read_at_once(self, self.mode, suffix, x, sizes, state)
        if at_once is not None:
            return at_once
        cell = self.arrays.cell(self, gating, suffix)
        project = rows(self, f"weight_hr{suffix}") if self.proj_size else None

        def step(x: Tensor, state: State) -> State:
            after = gating.step(cell.sums(x, state[0]), state)
            return after if project is None else (project(after[0]), *after[1:])

        steps = torch.split(cell.inputs(x), sizes)
        walk = _backwards if suffix.endswith("_reverse") else _forwards
        return walk(step, steps, state)

    def extra_repr(self) -> str:
        """As the digital layer prints."""
        digital: nn.Module = self.__dict__["_digital"]
        return digital.extra_repr()


class JointRecurrent(Recurrent):
    """`torch.nn.RNN`, `LSTM` and `GRU` on crossbars, input and state on the same arrays.

    Each layer and direction has one matrix `weight` for both, which is read once a step and whose
    DACs have a range for each. They stay apart unless a configuration asks for them together:
    `layers=["joint_recurrent"]`.
    """

    replaces = Recurrent.replaces
    arrays = Joint()
    on_request = True

    @classmethod
    def trials(cls) -> list[Trial]:
        return [
            (nn.LSTM(5, 4, num_layers=2), (torch.randn(3, 2, 5),)),
            (nn.GRU(5, 4, bidirectional=True), (torch.randn(3, 5),)),
        ]

    def input_parts(self, name: str) -> tuple[int, ...]:
        return both_parts(self, name)


def _forwards(step: Step, steps: Sequence[Tensor], state: State) -> tuple[Tensor, State]:
    """From the first step on; sequences that end leave their state behind."""
    outputs: list[Tensor] = []
    ended: list[State] = []
    for x in steps:
        if x.shape[0] < state[0].shape[0]:
            ended.append(tuple(each[x.shape[0] :] for each in state))
            state = tuple(each[: x.shape[0]] for each in state)
        state = step(x, state)
        outputs.append(state[0])
    if ended:
        every = zip(state, *reversed(ended), strict=True)
        state = tuple(torch.cat(each) for each in every)
    return torch.cat(outputs), state


def _backwards(step: Step, steps: Sequence[Tensor], start: State) -> tuple[Tensor, State]:
    """From the last step on; sequences that end earlier begin later."""
    outputs: list[Tensor] = []
    state = tuple(each[: steps[-1].shape[0]] for each in start)
    for x in reversed(steps):
        have = state[0].shape[0]
        if x.shape[0] > have:
            pairs = zip(state, start, strict=True)
            state = tuple(torch.cat([now, first[have : x.shape[0]]]) for now, first in pairs)
        state = step(x, state)
        outputs.append(state[0])
    return torch.cat(outputs[::-1]), state
