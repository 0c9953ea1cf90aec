"""Pulses on many cells natively: what a device makes of them, recorded once, is one kernel."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from memcore import native
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.dynamics.recording import lower, record_change
from memcore.dynamics.recording.gpu import on_gpu
from memcore.dynamics.recording.run import Ready
from memcore.errors import RecordingError
from memcore.modelling.pulsed import Pulsed
from memcore.ops.cell_moves import Recorded
from memcore.random import Stream

#: Parts into which pulses are cut, beyond which no kernel is made of them: recordings take time.
_MOST_PARTS: Final = 128


class PulseKernels:
    """Kernels that move cells by pulses one way, then the other, and tell what they conduct then.

    A kernel is made the first time that pulses are cut in its way, see `Pulsed.cuts`. Its draws are
    those of the device in the context, keyed by the cell and by the number of the call.

    Args:
        device: with every distribution drawn, for the cells.
        cells: shape of all cells.
    """

    def __init__(self, device: Memristor, cells: Sequence[int]) -> None:
        self._device = device if isinstance(device, Pulsed) and has_law(device) else None
        self._cells = tuple(cells)
        self._cuts: dict[float, tuple[bool, ...]] = {}
        self._known: dict[tuple[object, ...], Ready | None] = {}
        self._on_gpu: dict[tuple[Ready, torch.device], Recorded | None] = {}

    def kernel(self, most: float, ctx: Context) -> Ready | None:
        """What makes [x after the pulses, conductance] of [x, behind]; None if there is nothing.

        Called with the variables x of the state of some cells, behind them the pulses that come
        second, float32 all of them, and with the pulses that come first in place of voltages.

        Args:
            most: no cell takes more pulses in one direction.
            ctx: context of all calls.
        """
        if self._device is None or native.cpu() is None:
            return None
        most = self._rounded(self._device, most)
        cuts = self._cuts_of(self._device, most)
        if len(cuts) > _MOST_PARTS:
            return None
        key = (cuts, ctx.random.key)
        if key not in self._known:
            self._known[key] = self._recorded(self._device, most, ctx)
        return self._known[key]

    @cached_property
    def law(self) -> Ready | None:
        """What makes [conductance, *others] of the variables of some cells, if anything does.

        Called with tensors that take its place, and with anything in place of voltages.
        """
        if self._device is None or native.cpu() is None:
            return None

        def change(device: Memristor, state: Tensor, count: Tensor, ctx: Context) -> Tensor:
            del count, ctx
            return torch.cat([device.conductance(state).unsqueeze(0), state[1:]])

        shape = (self._device.variables, *self._cells)
        state = torch.empty(shape, dtype=torch.float32, device="meta")
        ctx = Context(random=Stream(0))
        try:
            recorded = record_change(change, self._device, state, state[0], ctx)
        except RecordingError:
            return None
        return Ready(lower(recorded, shared=False), torch.float32, len(state))

    def on_gpu(self, most: float, ctx: Context, device: torch.device) -> Recorded | None:
        """The same for moves of cells on a GPU; None if there is nothing, or if it does not fit.

        Args:
            most: no cell takes more pulses in one direction.
            ctx: context of all calls.
            device: a GPU.
        """
        ready = self.kernel(most, ctx)
        if ready is None:
            return None
        key = (ready, device)
        if key not in self._on_gpu:
            self._on_gpu[key] = on_gpu(ready.program, ready.rows, device)
        return self._on_gpu[key]

    def _cuts_of(self, device: Pulsed, most: float) -> tuple[bool, ...]:
        if most not in self._cuts:
            self._cuts[most] = device.cuts(most)
        return self._cuts[most]

    def _rounded(self, device: Pulsed, most: float) -> float:
        """Some more pulses, if all are single: those that no cell takes change nothing."""
        if not 2 < most <= _MOST_PARTS:
            return most
        more = 2.0 ** math.ceil(math.log2(most))
        return more if all(self._cuts_of(device, more)) else most

    def _recorded(self, device: Pulsed, most: float, ctx: Context) -> Ready | None:
        def change(device: Memristor, state: Tensor, count: Tensor, ctx: Context) -> Tensor:
            moved = both_ways(device, state[:-1], (count, state[-1]), most, ctx)
            return torch.cat([moved, device.conductance(moved).unsqueeze(0)])

        shape = (device.variables + 1, *self._cells)
        state = torch.empty(shape, dtype=torch.float32, device="meta")
        try:
            recorded = record_change(change, device, state, state[0], ctx)
        except RecordingError:
            return None
        return Ready(lower(recorded, shared=False), torch.float32, len(state))


def has_law(device: Memristor) -> bool:
    """Whether the pulses of a device are those of `Pulsed`, which takes any number at once."""
    return isinstance(device, Pulsed) and type(device).pulses is Pulsed.pulses


def both_ways(
    device: Memristor,
    state: Tensor,
    counts: tuple[Tensor, Tensor | None],
    most: float,
    ctx: Context,
) -> Tensor:
    """States after signed pulses and, if there are some, after those that come second.

    Args:
        device: with every distribution drawn.
        state: [k, *cells].
        counts: pulses that come first, [*cells], and those that come second.
        most: no cell takes more pulses in one direction.
        ctx: context of the call.

    Returns:
        [k, *cells].
    """
    for name, count in zip(("first", "second"), counts, strict=True):
        if count is not None:
            at = ctx.child(name)
            if isinstance(device, Pulsed) and has_law(device):
                state = device.moved(state, count.to(state.dtype), most, at)
            else:
                state = device.pulses(state, count, at)
    return state
