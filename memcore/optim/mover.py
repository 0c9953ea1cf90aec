"""`Mover`: what moves the cells of a matrix by pulses, natively, on a GPU or with PyTorch."""

from typing import Protocol

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.crossbar.crossbar import Crossbar
from memcore.dynamics.pulses import PulseKernels, both_ways
from memcore.dynamics.recording.run import Ready
from memcore.ops._library import fits_cuda, is_plain
from memcore.ops.cell_moves import Recorded, move_by_counts, move_by_trains
from memcore.ops.pulse_order import Arrays, Sums, first_of, ordered
from memcore.ops.pulse_trains import Moved, Sent, is_known, pulse_trains
from memcore.optim.calls import PulseCall, pieces
from memcore.optim.derived import DerivedCells
from memcore.optim.places import Places
from memcore.optim.spent import of_resistors


class Moving(Protocol):
    """What has the states of cells, and knows which are stuck."""

    state: Tensor  #: [k, arrays, rows, cols]
    stuck: Tensor | None  #: what stuck cells conduct, [arrays, rows, cols] S, NaN of the others


class Mover:
    """Moves the states of cells, and lets them conduct what these say.

    All ways to do so give the same numbers of pulses, in the same order.

    Args:
        crossbar: the arrays.
        owner: has the states of their cells.
        device: the cells, as sampled.
        places: which cells take pulses.
    """

    def __init__(
        self, crossbar: Crossbar, owner: Moving, device: Memristor, places: Places
    ) -> None:
        self._crossbar, self._owner, self._device = crossbar, owner, device
        self.places = places
        self._kernels = PulseKernels(device, crossbar.cells.programmed.shape)
        law = self._kernels.law
        #: What tells the conductances of states, where a law is known.
        self.derived = None if law is None else DerivedCells(crossbar.cells, owner, law)

    # Pulses --------------------------------------------------------------------------------------

    def push(self, up: Tensor, down: Tensor, asked: PulseCall) -> list[Sums]:
        """Move cells by pulses of their weights, [groups, inputs, outputs].

        Returns:
            what was sent, in pieces.
        """
        kernel, recorded = self._kernel(asked), self._on_gpu(asked, up, down)
        if self.places.are_in_order and kernel is not None:
            return self._push_in_pieces(up, down, asked, kernel)
        if recorded is not None:
            given = (up, down), self._arrays, asked.draw, self._moved
            return [move_by_counts(*given, recorded)]
        return self._push_at_once(up, down, asked)

    def push_trains(self, sent: Sent, asked: PulseCall) -> list[Sums] | None:
        """Move cells by trains, in one pass in which nothing is as large as the matrix.

        Returns:
            as `push`; None where their coincidences have to be counted first.
        """
        kernel = self._kernel(asked) if is_known(sent) else self._on_gpu(asked, *sent.tensors)
        if not self.places.are_in_order or kernel is None:
            return None
        given = sent, self._arrays, asked.draw, self._moved
        if isinstance(kernel, Ready):
            return [pulse_trains(*given, kernel.motion)]
        return [move_by_trains(*given, kernel)]

    def advance(self, first: Tensor, second: Tensor | None, asked: PulseCall) -> None:
        """Move cells by signed pulses [arrays, rows, cols], and by those that come second."""
        kernel, cells, state = self._kernel(asked), self._crossbar.cells, self._owner.state
        derived = self.deriving()
        if kernel is not None:
            x, behind = [*state], torch.zeros_like(first) if second is None else second
            out = [*x, cells.programmed if derived is None else torch.empty_like(first)]
            kernel([*x, behind], out, first.unsqueeze(0), first_step=asked.call)
            return
        counts, ctx = (first, second), asked.context_for(self._device)
        state.copy_(both_ways(self._device, state, counts, asked.most, ctx))
        self.conduct()

    def _push_in_pieces(
        self, up: Tensor, down: Tensor, asked: PulseCall, kernel: Ready
    ) -> list[Sums]:
        """Pulses [groups, inputs, outputs] of weights, on one piece of the arrays after the other.

        Nothing but these numbers then is as large as the matrix.
        """
        whole, signs, derived = self._owner.state, self.places.signs, self.deriving()
        lines = whole.shape[-1]
        state = whole.view(len(whole), len(signs), -1, lines)
        found = []
        for part, sign in enumerate(signs):
            for piece in pieces(state.shape[2], lines):
                at = (part * state.shape[2] + piece.start) * lines
                x = state[:, part, piece]
                if derived is None:
                    g = self._crossbar.cells.programmed.view(state.shape[1:])[part, piece]
                else:
                    g = derived.of(x, at)
                first, second = work = g.new_empty(2, *g.shape)
                sums = ordered(
                    *((up, down), g, self._arrays, asked.draw, piece),
                    opposite=sign < 0,
                    out=(*work,),
                )
                if not sums.pulses:
                    continue
                found.append(sums)
                kernel(
                    [*x, second],
                    [*x, g],
                    first.unsqueeze(0),
                    first_step=asked.call,
                    first_cell=at,
                )
        return [Sums(*map(sum, zip(*found, strict=True)))] if found else []

    def _push_at_once(self, up: Tensor, down: Tensor, asked: PulseCall) -> list[Sums]:
        """The same on all cells, which may lie anywhere or be one-sided."""
        places = self.places
        if places.is_one_sided:
            counts = [places.laid([up, down])]
        else:
            first = first_of(up, down, asked.draw)
            second = up - down - first
            sent = (first, second) if bool(second.any()) else (first,)
            counts = [places.laid([sign * each for sign in places.signs]) for each in sent]
        g = self._crossbar.programmed
        found = [of_resistors(each, g) for each in counts]
        self.advance(counts[0], counts[1] if len(counts) > 1 else None, asked)
        return found

    @property
    def _arrays(self) -> Arrays:
        return self.places.arrays(self._owner.state.shape[-1])

    @property
    def _moved(self) -> Moved:
        """The cells that take pulses, one part after the other."""
        opposite = [sign < 0 for sign in self.places.signs]
        derived = self.deriving()
        g = self._crossbar.cells.programmed if derived is None else derived.law.motion
        return Moved([*self._owner.state], g, opposite)

    def _kernel(self, asked: PulseCall) -> Ready | None:
        """What moves cells natively, if anything does."""
        if not is_plain(self._owner.state):
            return None
        return self._kernels.kernel(asked.most, asked.ctx)

    def _on_gpu(self, asked: PulseCall, *given: Tensor) -> Recorded | None:
        """What moves cells on a GPU, if anything does."""
        state = self._owner.state
        if not (state.is_cuda and self.places.are_in_order):
            return None
        if not fits_cuda(state, self._crossbar.cells.programmed, *given):
            return None
        return self._kernels.on_gpu(asked.most, asked.ctx, state.device)

    # Conductances --------------------------------------------------------------------------------

    def conduct(self) -> None:
        """Let the cells conduct what their states do, to the bit the same whoever moved them."""
        if self.deriving() is not None:
            return
        cells, state = self._crossbar.cells, self._owner.state
        asked = PulseCall(0.0, 0, cells.context().child("in place"))
        recorded = self._on_gpu(asked)
        if recorded is not None:
            move_by_counts(None, self._arrays, asked.draw, self._moved, recorded)
        elif self.derived is not None and is_plain(state):
            cells.programmed.copy_(self.derived.conductance())
        else:
            cells.programmed.copy_(self._device.conductance(state))

    def show_stuck(self) -> None:
        """Let stuck cells conduct what they do."""
        stuck = self._owner.stuck
        if stuck is not None:
            g = self._crossbar.cells.programmed
            g.copy_(torch.where(stuck.isnan(), g, stuck.to(g.dtype)))

    def deriving(self) -> DerivedCells | None:
        """What tells conductances in place of memory for them, if anything does.

        They are kept where no law is known, where stuck cells follow none, and where the network
        was moved away from the states of its cells.
        """
        cells, derived, owner = self._crossbar.cells, self.derived, self._owner
        if derived is not None and cells.source is derived:
            return derived
        cells.keep()
        plain = is_plain(cells.programmed) and is_plain(owner.state)
        if derived is None or owner.stuck is not None or not plain:
            return None
        cells.derive(derived)
        return derived
