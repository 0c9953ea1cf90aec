"""`InSitu`: an optimiser that pulses the cells of a converted network where they are."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from memcore import _check
from memcore._text import shown
from memcore.contracts.layer import Layer
from memcore.contracts.update import UpdateRule
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ConfigError
from memcore.nn.matrix import Matrix
from memcore.nn.walk import named_matrices
from memcore.ops.surrogate import for_training
from memcore.optim.cells import PulsedCells
from memcore.registry.specs import PluginSpec, plugin

Order = Literal["exact", "grouped", "net"]


class InSitu(torch.optim.Optimizer):
    """Trains a converted network on its own cells, by an update rule, through its own arrays.

    Forward and backward passes read the cells; `step` hands the inputs and the errors of each
    matrix to the rule, which pulses its cells. The parameters follow what the cells stand for.
    Parameters that are on no cells, biases among them, are trained digitally by `digital`.

    Args:
        model: a converted network whose devices have pulses.
        rule: how inputs and errors become pulses: a name from `memcore.updates`, a mapping or an
            instance.
        lr: learning rate, also that of the digital parameters.
        order: `"exact"` applies the vectors of a batch one after the other; `"grouped"` sums their
            pulses of each direction, which is faster and, without noise, moves a weight otherwise
            by at most the number of pulses up times that of pulses down times the second order of
            a step; `"net"` subtracts opposite pulses, which hides what an asymmetric cell does.
        headroom: how much larger than its largest weight now a matrix may become.
        digital: optimiser of all other parameters; SGD with the same rate by default.

    Raises:
        ConfigError: the rule, the device or a mapping does not fit.
        ConversionError: there is no memristive layer.

    Examples:
        >>> config = memcore.CrossbarConfig(device="soft_bounds", mapper="offset")
        >>> mem = memcore.convert(nn.Linear(3, 2), config)
        >>> optimizer = memcore.optim.InSitu(mem, rule="sgd_pulsed", lr=0.1)
        >>> mem(torch.ones(1, 3)).square().sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        rule: PluginSpec = "sgd_pulsed",
        lr: float,
        order: Order = "grouped",
        headroom: float = 2.0,
        digital: torch.optim.Optimizer | None = None,
    ) -> None:
        if not isinstance(order, str) or order not in ("exact", "grouped", "net"):
            raise ConfigError(f"order={shown(order)}; expected 'exact', 'grouped' or 'net'")
        lr = _check.number("lr", lr, above=0)
        headroom = _check.number("headroom", headroom, at_least=1.0)
        self.rule: UpdateRule = plugin("updates", rule)
        self._trainers: list[_Trainer] = []
        self._places = _unique(model)
        self._order = order
        for _, matrix in self._places.values():
            trainer = _Trainer(matrix, self.rule, headroom, net=order == "net")
            self._trainers.append(trainer)
        on_cells = list(_on_cells(self._places))
        super().__init__(on_cells, {"lr": lr})
        held = {id(parameter) for parameter in on_cells}
        others = [p for p in model.parameters() if id(p) not in held and p.requires_grad]
        if digital is None and others:
            digital = torch.optim.SGD(others, lr=lr)
        self.digital = digital
        self._follow()

    @for_training
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Pulse the cells for what the passes since the last step have shown."""
        if closure is not None:
            raise ConfigError("closure came; expected none: pulses cannot be taken back")
        lr = float(self.param_groups[0]["lr"])
        for trainer in self._trainers:
            trainer.train_on_passes(lr, one_by_one=self._order == "exact")
        if self.digital is not None:
            self.digital.step()
        self._follow()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget gradients, and what passes have shown."""
        super().zero_grad(set_to_none)
        if self.digital is not None:
            self.digital.zero_grad(set_to_none)
        for trainer in self._trainers:
            trainer.passes.clear()

    @property
    def pulses(self) -> dict[str, int]:
        """Pulses that were applied so far, by the name of the matrix, to all of its arrays."""
        pairs = zip(self._places, self._trainers, strict=True)
        return {name: trainer.pulses for name, trainer in pairs}

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the parameters be what the cells stand for."""
        for (layer, matrix), trainer in zip(self._places.values(), self._trainers, strict=True):
            trainer.settle()
            key = next(k for k, each in layer.matrices.items() if each is matrix)
            operand = layer.operands()[key]
            read = matrix.stands_for(operand)
            operand.weight.copy_(read.weight.view_as(operand.weight))
            if matrix.maps_bias and operand.bias is not None and read.bias is not None:
                operand.bias.copy_(read.bias)
            trainer.slow.stands_for(matrix.matrix_of(layer.operands()[key]))

    def state_dict(self) -> dict[str, Any]:
        """All state that is not the network's."""
        return {
            "in_situ": nn.ModuleList(self._trainers).state_dict(),
            "lr": self.param_groups[0]["lr"],
            "digital": None if self.digital is None else self.digital.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on as the optimiser did whose state it was; the network has its own."""
        nn.ModuleList(self._trainers).load_state_dict(state_dict["in_situ"])
        for group in self.param_groups:
            group["lr"] = state_dict["lr"]
        if self.digital is not None and state_dict["digital"] is not None:
            self.digital.load_state_dict(state_dict["digital"])
        for trainer in self._trainers:
            trainer.resume()


class _Trainer(nn.Module):
    """The arrays of one matrix, the rule that pulses them, and what passes have shown."""

    def __init__(self, matrix: Matrix, rule: UpdateRule, headroom: float, *, net: bool) -> None:
        super().__init__()
        crossbar = matrix.crossbar
        slow = PulsedCells(crossbar, headroom=headroom, net=net)
        others = [
            PulsedCells(_beside(crossbar, number), net=net) for number in range(rule.arrays - 1)
        ]
        #: Arrays beside the network's, with their cells.
        self.beside = nn.ModuleList([each.crossbar for each in others])
        self.cells = [*others, slow]
        self.arrays = nn.ModuleList(self.cells)
        ctx = crossbar.cells.context().child("update")
        self.module = rule.bind(tuple(self.cells), ctx).to(crossbar.programmed.device)
        self.passes: list[tuple[Tensor, Tensor]] = []
        matrix.record(self._note)

    @property
    def slow(self) -> PulsedCells:
        """The cells that the network reads."""
        return self.cells[-1]

    def _note(self, x: Tensor, d: Tensor) -> None:
        self.passes.append((x.detach(), d.detach()))

    def train_on_passes(self, lr: float, *, one_by_one: bool) -> None:
        """Hand what passes have shown to the rule."""
        passes, self.passes = self.passes, []
        for x, d in passes:
            size = 1 if one_by_one else max(1, len(x))
            for k in range(0, len(x), size):
                self.module(x[k : k + size], d[k : k + size], lr)

    def settle(self) -> None:
        """Derive what reads use."""
        for cells in self.cells:
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


def _beside(crossbar: Crossbar, number: int) -> Crossbar:
    """Another array of the same matrix, whose cells stand for zeros."""
    tiling, cells = crossbar.tiling, crossbar.cells
    nothing = crossbar.folded.new_zeros(tiling.groups, tiling.rows, tiling.cols)
    random = cells.random.child("beside", number)
    other = Crossbar.of_weight(
        nothing, cells.config, random, name=cells.name, constant=crossbar.constant
    )
    other.cells.gain.copy_(cells.gain.mean().expand_as(other.cells.gain))
    for port in ("input", "output"):
        ranges = getattr(crossbar, port).range
        getattr(other, port).range.copy_(ranges)
    other.refresh()
    return other


def _unique(model: nn.Module) -> dict[str, tuple[Layer, Matrix]]:
    found: dict[str, tuple[Layer, Matrix]] = {}
    for name, (layer, matrix) in named_matrices(model).items():
        if all(matrix is not each for _, each in found.values()):
            found[name] = (layer, matrix)
    return found


def _on_cells(places: dict[str, tuple[Layer, Matrix]]) -> Iterator[nn.Parameter]:
    """The parameters that are on cells."""
    done: set[int] = set()
    for layer, matrix in places.values():
        operands = layer.operands()
        held = [o.weight for o in operands.values()]
        held += [o.bias for o in operands.values() if o.bias is not None and matrix.maps_bias]
        storages = {tensor.untyped_storage().data_ptr() for tensor in held}
        for parameter in layer.parameters(recurse=False):
            if parameter.untyped_storage().data_ptr() in storages and id(parameter) not in done:
                done.add(id(parameter))
                yield parameter
