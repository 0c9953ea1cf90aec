"""`Trainer`: one matrix, the arrays that train it, and the rule that pulses them."""

import torch
from torch import Tensor, nn

from memcore import _check
from memcore.contracts.update import Pair, PulsedWeights, UpdateRule
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ConfigError
from memcore.nn.matrix import Matrix
from memcore.ops.surrogate import for_training
from memcore.optim.cells import PulsedCells


class Trainer(nn.Module):
    """The arrays of one matrix, the rule that pulses them, and what passes have shown.

    Args:
        matrix: whose cells are trained.
        rule: how inputs and errors become pulses.
        headroom: how much larger than its largest weight the matrix may become.
        net: whether pulses up and down of one weight are subtracted before they are applied.
        pair: which cells of a weight take pulses; None leaves it to the rule and the mapping.

    Raises:
        ConfigError: the matrix still reads arrays of another training.
    """

    worn: Tensor  #: write cycles of a mean cell of each array that the clock knows of

    def __init__(
        self, matrix: Matrix, rule: UpdateRule, headroom: float, *, net: bool, pair: Pair | None
    ) -> None:
        super().__init__()
        crossbar = matrix.crossbar
        if len(matrix.crossbars) > 1:
            raise ConfigError(
                f"{crossbar.cells.name or 'the layer'} adds up {len(matrix.crossbars)} arrays of "
                "an earlier training; expected one array: memcore.program(model) writes what was "
                "learned into it"
            )
        pair = rule.pair if pair is None else pair
        slow = PulsedCells(crossbar, headroom=headroom, net=net, pair=pair)
        others = [
            PulsedCells(_beside(crossbar, number), net=net, pair=pair)
            for number in range(rule.arrays - 1)
        ]
        #: Arrays beside the network's, with their cells.
        self.beside = nn.ModuleList([each.crossbar for each in others])
        shares = list(zip(rule.shares[:-1], others, strict=True))
        matrix.read_with(tuple((share, each.crossbar) for share, each in shares if share))
        self._unread = [each for share, each in shares if not share]
        self.cells = [*others, slow]
        self.arrays = nn.ModuleList(self.cells)
        ctx = crossbar.cells.context().child("update")
        weights: list[PulsedWeights] = list(self.cells)
        self.module = rule.bind(tuple(weights), ctx).to(crossbar.programmed.device)
        _calculate_in(slow.precision, self.module)
        self.register_buffer(
            "worn", torch.zeros(len(self.cells), dtype=torch.float64, device="cpu")
        )
        self.passes: list[tuple[Tensor, Tensor]] = []
        self._matrix = (matrix,)  # not a submodule: the network owns it
        matrix.record(self._note)

    @property
    def slow(self) -> PulsedCells:
        """The cells that the network reads."""
        return self.cells[-1]

    def _note(self, x: Tensor, d: Tensor) -> None:
        self.passes.append((x.detach(), d.detach().to(x.dtype)))

    def require_told(self) -> None:
        """Refuse to train a matrix whose passes are told to nobody, or to another training.

        Raises:
            ConfigError: they are.
        """
        (matrix,) = self._matrix
        if not matrix.tells(self._note):
            name = self.slow.crossbar.cells.name or "the layer"
            raise ConfigError(
                f"passes through {name} are not told to this InSitu, which was released, or whose "
                "network has a newer one; expected a step of that one, or a new InSitu"
            )

    @for_training
    def train_on_passes(self, lr: float, *, one_by_one: bool) -> None:
        """Hand what passes have shown to the rule, all of them as one batch."""
        passes, self.passes = self.passes, []
        if not passes:
            return
        self._age_beside()
        for cells in self.cells:
            cells.wake()
        x, d = (
            (torch.cat(each) if len(passes) > 1 else each[0]).to(self.slow.precision)
            for each in zip(*passes, strict=True)
        )
        whose = self.slow.crossbar.cells.name
        d = self.slow.in_units(d)
        _check.finite("inputs", x, whose, "the data, or a smaller lr")
        _check.finite("errors", d, whose, "the loss, or a smaller lr")
        size = 1 if one_by_one else max(1, len(x))
        for k in range(0, len(x), size):
            self.module(x[k : k + size], d[k : k + size], lr)
        self._wear()

    def _age_beside(self) -> None:
        """Let the time that passed for the network's arrays pass for those that it never reads."""
        if not self._unread:
            return
        for temperature, seconds, *_ in self.slow.crossbar.cells.clock.segments.tolist():
            for cells in self._unread:
                cells.crossbar.cells.clock.advance(temperature, seconds=seconds)

    def _wear(self) -> None:
        """Let the clocks of the arrays know what pulses have worn."""
        for place, cells in enumerate(self.cells):
            new = cells.wear - float(self.worn[place])
            if new > 0:
                cells.crossbar.cells.clock.advance(cells.crossbar.config.temperature, cycles=new)
                self.worn[place] += new

    def settle(self) -> None:
        """Derive what the reads of the network use."""
        for cells in self.cells:
            if cells not in self._unread:
                cells.settle()

    def resume(self) -> None:
        """Derive everything from a state that was loaded."""
        self.passes.clear()
        for cells in self.cells:
            cells.resume()

    @property
    def pulses(self) -> int:
        """Pulses on the cells of all arrays."""
        return sum(int(cells.pulses) for cells in self.cells)


def _calculate_in(dtype: torch.dtype, module: nn.Module) -> None:
    """Let a rule keep in this dtype what it has in single precision."""
    module._apply(  # type: ignore[no-untyped-call]
        lambda kept: kept.to(dtype) if kept.dtype == torch.float32 else kept
    )


def _beside(crossbar: Crossbar, number: int) -> Crossbar:
    """Another array of the same matrix, whose cells stand for zeros."""
    tiling, cells = crossbar.tiling, crossbar.cells
    nothing = crossbar.folded.new_zeros(tiling.groups, tiling.rows, tiling.cols)
    random = cells.random.child("beside", number)
    other = Crossbar.of_weight(
        nothing, cells.config, random, name=cells.name, constant=crossbar.constant
    )
    other.cells.gain.copy_(cells.gain)
    for port in ("input", "output"):
        ranges = getattr(crossbar, port).range
        getattr(other, port).range.copy_(ranges)
    other.refresh()
    return other
