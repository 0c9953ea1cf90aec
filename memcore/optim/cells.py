"""`PulsedCells`: the cells of one matrix, moved by pulses that a rule asks for."""

import dataclasses

import torch
from torch import Tensor, nn

from memcore.contracts.device import Memristor
from memcore.contracts.mapper import Reference
from memcore.contracts.records import Context, Stage
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.effects import Effects, is_off
from memcore.crossbar.fingerprint import Fingerprint
from memcore.errors import ConfigError
from memcore.nn.walk import named_matrices
from memcore.ops.surrogate import for_training

#: Cells over whose noise the change of one pulse is averaged.
_CELLS = 4096


class PulsedCells(nn.Module):
    """Cells of one matrix that pulses move, as `PulsedWeights`.

    A positive number of pulses goes towards SET on the cells that enter the outputs with a positive
    sign, and towards RESET on those with a negative one: a differential pair is pushed and pulled,
    the column of an offset mapping is pulsed alone, reference columns are left alone.

    Args:
        crossbar: the arrays, which are read as they are configured.
        headroom: how much larger than its largest weight a matrix may become: the window of the
            cells is used from its middle, or its lower end, up to this share only.
        net: whether pulses up and down of one weight are subtracted before they are applied.

    Raises:
        ConfigError: the device has no pulses, or the mapping has several lanes.
    """

    state: Tensor  #: of the device, [k, arrays, rows, cols]
    calls: Tensor  #: how often pulses were applied, which keys their noise
    pulses: Tensor  #: how many there were, of all cells
    stuck: Tensor | None

    def __init__(self, crossbar: Crossbar, *, headroom: float = 1.0, net: bool = False) -> None:
        super().__init__()
        self._crossbar, self._net = (crossbar,), net  # not a submodule: the network owns it
        cells = crossbar.cells
        _require_one_lane(crossbar)
        _require_pulses_alone(crossbar)
        array = cells.array()
        self._device = array.device
        stuck = Effects.stuck(cells.config.effects, array, cells.context())
        self.register_buffer("stuck", stuck, persistent=False)
        if headroom != 1:
            _shrink(crossbar, headroom)
        self._change = granularity_of(self._device, cells.context().child("granularity"))
        #: S that a weight of each part changes by, counted over the parts that are pulsed.
        self._parts = sum(not isinstance(part, Reference) for part in cells.parts)
        self.register_buffer("state", self._device.state_of(cells.programmed))
        for name in ("calls", "pulses"):
            zero = torch.zeros((), dtype=torch.int64, device=cells.writes.device)
            self.register_buffer(name, zero)
        self._is_stale = False

    @property
    def crossbar(self) -> Crossbar:
        """The arrays."""
        return self._crossbar[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, outputs and inputs."""
        tiling = self.crossbar.tiling
        return tiling.groups, tiling.cols, tiling.rows

    @property
    def granularity(self) -> float:
        """Mean change of a weight by one pulse in the middle of its window, in weights."""
        return float(self.crossbar.gain.mean()) * self._change * self._parts

    @for_training
    def pulse(self, up: Tensor, down: Tensor) -> None:
        """As `PulsedWeights.pulse`."""
        number = int(self.calls)
        self.calls.add_(1)
        ctx = self.crossbar.cells.context().child("in place", number)
        both = (up > 0) & (down > 0)
        if self._net or not bool(both.any()):
            self._move(up - down, ctx)
            return
        first = ctx.random.bernoulli(0.5, up.shape, device=up.device)
        self._move(torch.where(first, up, -down), ctx.child("first"))
        self._move(torch.where(first, -down, up), ctx.child("second"))

    def _move(self, count: Tensor, ctx: Context) -> None:
        """Signed pulses [groups, outputs, inputs] on weights."""
        if not bool(count.any()):
            return
        cells = self.crossbar.cells
        by_row = count.transpose(1, 2).to(self.state.dtype)
        parts = [
            by_row.new_zeros(*by_row.shape[:2], 1)
            if isinstance(part, Reference)
            else part.sign * by_row
            for part in cells.parts
        ]
        pulses = cells.tiling.split(parts, 0.0)
        self.state.copy_(self._device.pulses(self.state, pulses, ctx))
        self.pulses.add_(pulses.abs().sum().to(torch.int64))
        cells.programmed.copy_(self._conductance())
        self._is_stale = True

    def _conductance(self) -> Tensor:
        g = self._device.conductance(self.state).to(self.crossbar.programmed.dtype)
        if self.stuck is None:
            return g
        return torch.where(self.stuck.isnan(), g, self.stuck.to(g.dtype))

    @for_training
    def read(self, x: Tensor) -> Tensor:
        """As `PulsedWeights.read`."""
        self.settle()
        y: Tensor = self.crossbar(x.to(self.state.dtype))
        return y

    @for_training
    def settle(self) -> None:
        """Derive what a read uses, if pulses have moved cells since it was derived."""
        if self._is_stale:
            self.crossbar.refresh()
            self._is_stale = False

    @for_training
    def resume(self) -> None:
        """Derive everything from a state that was loaded."""
        self.crossbar.programmed.copy_(self._conductance())
        self.crossbar.refresh()
        self._is_stale = False

    def stands_for(self, matrix: Tensor) -> None:
        """Say that the cells are what they should be: `matrix` is read from them."""
        self.crossbar.cells.origin.copy_(Fingerprint.of(matrix).packed())


def granularity_of(device: Memristor, ctx: Context) -> float:
    """Mean change of a conductance in S by one pulse in the middle of the window, up and down.

    Raises:
        ConfigError: the device has no pulses.
    """
    nominal = device.nominal()
    fields = {field.name for field in dataclasses.fields(nominal)}  # type: ignore[arg-type]
    if "c2c" in fields:
        nominal = dataclasses.replace(nominal, c2c=0.0)  # type: ignore[type-var]
    lowest, highest = nominal.nominal_range()
    start = nominal.state_of(torch.full((_CELLS,), 0.5 * (lowest + highest)))
    before = nominal.conductance(start)
    changes = []
    for sign in (1, -1):
        try:
            after = nominal.pulses(start, torch.full((_CELLS,), sign), ctx.child(sign))
        except NotImplementedError as error:
            raise ConfigError(f"{error}; training in place needs a device with pulses") from error
        changes.append(abs(float((nominal.conductance(after) - before).mean())))
    change = 0.5 * sum(changes)
    if not change > 0:
        raise ConfigError(
            f"a pulse changes {type(device).__name__} by nothing in the middle of its window; "
            "expected a device, or pulses, with which it moves"
        )
    return change


def granularity(model: nn.Module) -> dict[str, float]:
    """Mean change of a weight by one pulse, for each matrix of a network by its name.

    Args:
        model: a converted network.

    Raises:
        ConfigError: a device has no pulses.
        ConversionError: there is no memristive layer.
    """
    return {
        name: PulsedCells(matrix.crossbar).granularity
        for name, (_, matrix) in named_matrices(model).items()
    }


def _require_one_lane(crossbar: Crossbar) -> None:
    cells = crossbar.cells
    if len(cells.gain) > 1:
        raise ConfigError(
            f"the mapping of {cells.name or 'the layer'} has {len(cells.gain)} lanes, digits of a "
            'weight; expected one to train in place: mapper="differential" or "offset"'
        )


def _require_pulses_alone(crossbar: Crossbar) -> None:
    """Refuse effects of a write that know nothing of pulses; stuck cells no pulse moves."""
    cells = crossbar.cells
    array = cells.array()
    for name, effect in cells.config.effects.items():
        if effect.stage is not Stage.PROGRAM or is_off(effect):
            continue
        if effect.stuck_cells(array, cells.context().child(name)) is None:
            raise ConfigError(
                f"the effect {name!r} acts when cells are written as a whole, not at a pulse; "
                f"expected cells that pulses alone move: without={(name,)!r}, and the device's own "
                "distributions and c2c"
            )


def _shrink(crossbar: Crossbar, headroom: float) -> None:
    """Write the weights into a part of the window."""
    cells = crossbar.cells
    nothing = cells.mapped(crossbar.folded.transpose(1, 2) * 0.0, int(cells.writes))
    unused, _ = cells.config.device.nominal_range()
    zero = cells.tiling.split([part.target for part in nothing.parts], unused)
    nominal = cells.config.device.nominal()
    target = zero + (nominal.conductance(nominal.state_of(cells.programmed)) - zero) / headroom
    device = cells.array().device
    cells.programmed.copy_(device.conductance(device.state_of(target)))
    cells.gain.mul_(headroom)
    crossbar.refresh()
