"""`InSitu`: an optimiser that pulses the cells of a converted network where they are."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from memcore import _check
from memcore._text import shown
from memcore.contracts.layer import Layer, Operand
from memcore.contracts.update import Pair, UpdateRule
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.states import State, complete_numbers
from memcore.crossbar.together import process
from memcore.errors import ConfigError, NoEffectWarning, SaturationWarning, warn
from memcore.nn.extent import Extent
from memcore.nn.matrix import Matrix
from memcore.nn.walk import named_matrices
from memcore.ops.surrogate import for_training
from memcore.optim.following import follow
from memcore.optim.pulser import Pulser
from memcore.optim.report import MatrixTraining, TrainingReport
from memcore.optim.tied import warn_of_tied
from memcore.optim.trainer import Trainer
from memcore.registry.specs import PluginSpec, plugin

Order = Literal["exact", "grouped", "net"]
_PAIRS = (None, "reference", "push_pull", "one_sided")
#: Vectors after which it is looked whether trains fit, for each matrix.
_ENOUGH = 1000
#: Steps after which so many clipped vectors tell it too: units die at a high rate, and then no
#: errors reach them.
_MANY_STEPS, _MANY_CLIPPED = 32, 100


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
        pair: which cells of a weight take pulses: `"reference"`, that of an offset mapping alone;
            `"push_pull"`, both of a differential one in opposite directions; `"one_sided"`, one of
            both towards SET only. The rule and the mapping decide by default.
        headroom: how much larger than its largest weight now a matrix may become.
        digital: optimiser of all other parameters; SGD with the same rate by default.

    Raises:
        ConfigError: the rule, the device or a mapping does not fit, or processes train together.
        ConversionError: there is no memristive layer.

    Warns:
        NoEffectWarning: the configuration rehearses something, which nothing does here.
        StaleCellsWarning: layers have a weight in common, whose cells pulses move apart.
        SaturationWarning: after many vectors, trains are clipped or send hardly any pulse.

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
        pair: Pair | None = None,
        headroom: float = 2.0,
        digital: torch.optim.Optimizer | None = None,
    ) -> None:
        _require_choices(order, pair, digital)
        _require_one_process()
        lr = _check.number("lr", lr, above=0)
        headroom = _check.number("headroom", headroom, at_least=1.0)
        self.rule: UpdateRule = plugin("updates", rule)
        _require_order(order, self.rule)
        self._trainers: list[Trainer] = []
        self._places = _unique(model)
        #: For each matrix, whether no other one has the same parameter.
        self._are_alone = _are_alone(self._places)
        self._order = order
        for layer, matrix in self._places.values():
            _require_own(layer, matrix)
        _look_at_rehearsals(matrix for _, matrix in self._places.values())
        for _, matrix in self._places.values():
            trainer = Trainer(matrix, self.rule, headroom, net=order == "net", pair=pair)
            self._trainers.append(trainer)
        self._steps, self._has_warned = 0, False
        on_cells = list(_on_cells(self._places))
        warn_of_tied(model, on_cells)
        super().__init__(on_cells, {"lr": lr})
        held = {id(parameter) for parameter in on_cells}
        for parameter in on_cells:
            parameter.grad = None  # of a pass before, which no pulses follow
        # Frozen ones too, which have no gradient until somebody thaws them.
        others = [p for p in model.parameters() if id(p) not in held]
        #: Whether the digital optimiser is our own, which has our rate, also where it changes.
        self._follows = digital is None
        if digital is None and others:
            digital = torch.optim.SGD(others, lr=lr)
        self.digital = digital
        self._follow()

    @for_training
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Pulse the cells for what the passes since the last step have shown.

        Raises:
            ConfigError: a closure came, the rate does not fit, the optimiser was released, or the
                network has a newer one.
        """
        if closure is not None:
            raise ConfigError("closure came; expected none: pulses cannot be taken back")
        _require_one_process()
        for trainer in self._trainers:
            trainer.require_told()
        lr = _check.number("lr", self.param_groups[0]["lr"], at_least=0)
        for trainer in self._trainers:
            trainer.train_on_passes(lr, one_by_one=self._order == "exact")
        if self.digital is not None:
            if self._follows:
                for group in self.digital.param_groups:
                    group["lr"] = lr
            self.digital.step()
        self._steps += 1
        self._follow()
        self._look_at_trains()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse more parameters: those on cells are known, and the others are `digital`'s.

        Raises:
            ConfigError: always, once the optimiser is made.
        """
        if self.param_groups:
            raise ConfigError(
                "a group of parameters came; expected none: those on cells are trained already, "
                "and optimizer.digital.add_param_group takes others, an optimiser that is given as "
                "InSitu(digital=...)"
            )
        super().add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget gradients, and what passes have shown."""
        super().zero_grad(set_to_none)
        if self.digital is not None:
            self.digital.zero_grad(set_to_none)
        for trainer in self._trainers:
            trainer.passes.clear()

    def release(self) -> None:
        """Let the network be as any other again, with the weights that its cells stand for.

        Its parameters have gradients again, and training mode rehearses; copies and unpickled
        networks are released too.
        """
        for _, matrix in self._places.values():
            matrix.record(None)
        for trainer in self._trainers:
            trainer.passes.clear()

    def report(self) -> TrainingReport:
        """What training did so far to each matrix, and the pulses, energy and time it took."""
        return TrainingReport(
            rule=type(self.rule).__name__,
            lr=float(self.param_groups[0]["lr"]),
            steps=self._steps,
            matrices=tuple(
                MatrixTraining(
                    name=name,
                    granularity=trainer.slow.granularity,
                    pulses=trainer.pulses,
                    cycles=trainer.slow.wear,
                    energy=sum(float(cells.energy) for cells in trainer.cells),
                    time=sum(float(cells.time) for cells in trainer.cells),
                    figures=getattr(trainer.module, "figures", dict)(),
                )
                for name, trainer in zip(self._places, self._trainers, strict=True)
            ),
        )

    def _look_at_trains(self) -> None:
        """Say once that trains are clipped, or send hardly a pulse."""
        if self._has_warned or self._steps & (self._steps - 1):
            return  # at steps 1, 2, 4, 8 ...
        for name, trainer in zip(self._places, self._trainers, strict=True):
            for pulser in trainer.module.modules():
                if isinstance(pulser, Pulser) and self._tells(pulser):
                    self._judge(name, pulser)

    def _tells(self, pulser: Pulser) -> bool:
        """Whether enough vectors were sent to say if trains fit."""
        has_died = self._steps >= _MANY_STEPS and int(pulser.clipped) > _MANY_CLIPPED
        return has_died or int(pulser.vectors) >= _ENOUGH

    def _judge(self, name: str, pulser: Pulser) -> None:
        figures = pulser.figures()
        if figures["clipped"] > 0.01:
            found = f"{100 * figures['clipped']:.3g} % of the updates are clipped"
            remedy = "a lower lr, or a device with larger steps"
        elif figures["wanted"] < 1 / pulser.longest:
            found = f"the largest product of a vector sends {figures['wanted']:.2g} pulses"
            remedy = "a higher lr, or a device with smaller steps"
        else:
            return
        self._has_warned = True
        where = f"layer {name}" if name else "the layer"
        warn(
            f"{found} in {where}; expected at most 1 % to be clipped, and a mean of "
            f"1/{pulser.longest} pulses or more: use {remedy}",
            SaturationWarning,
        )

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the parameters be what the cells stand for."""
        places = zip(self._places.values(), self._trainers, self._are_alone, strict=True)
        for (layer, matrix), trainer, is_alone in places:
            trainer.settle()
            operand = _operand(layer, matrix)
            follow(matrix, operand, shares=is_alone)
            trainer.slow.stands_for(matrix.matrix_of(_operand(layer, matrix)))

    def state_dict(self) -> dict[str, Any]:
        """All state that is not the network's."""
        return {
            "in_situ": nn.ModuleList(self._trainers).state_dict(),
            "lr": self.param_groups[0]["lr"],
            "steps": self._steps,
            "digital": None if self.digital is None else self.digital.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on as the optimiser did whose state it was; the network has its own.

        Raises:
            ConfigError: it is no state of an optimiser with this rule of a network like this one.
        """
        self._require_state(state_dict)
        nn.ModuleList(self._trainers).load_state_dict(state_dict["in_situ"])
        for group in self.param_groups:
            group["lr"] = state_dict["lr"]
        self._steps = state_dict["steps"]
        if self.digital is not None and state_dict["digital"] is not None:
            self.digital.load_state_dict(state_dict["digital"])
        for trainer in self._trainers:
            trainer.resume()

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Asked by `torch.amp.GradScaler` before a step: pulses would follow its scale."""
        raise ConfigError(
            "torch.amp.GradScaler came; expected losses that are not scaled, whose errors are what "
            "pulses stand for: loss.backward() and optimizer.step()"
        )

    def __getstate__(self) -> dict[str, Any]:
        raise ConfigError(
            "a copy or a pickle of an InSitu was asked for, whose states belong to the cells of "
            "its network; expected a copy of the network, a new InSitu of that, and "
            "load_state_dict(optimizer.state_dict())"
        )

    def _require_state(self, state: Any) -> None:
        expected = "expected what state_dict() of an InSitu with this rule and network has given"
        if not isinstance(state, Mapping) or not {"in_situ", "lr", "steps", "digital"} <= {*state}:
            raise ConfigError(f"the state is {shown(state)}; {expected}")
        trainers = nn.ModuleList(self._trainers)
        own, given = trainers.state_dict(), _completed(trainers, state["in_situ"])
        if own.keys() != given.keys():
            odd = sorted(own.keys() ^ given.keys())
            raise ConfigError(f"the state differs in {shown(odd)}; {expected}")


def _completed(trainers: nn.Module, state: Mapping[str, Tensor]) -> State:
    """A state with the counts that arrays have and those of before had not."""
    completed = dict(state)
    for name, module in trainers.named_modules():
        if isinstance(module, Crossbar):
            complete_numbers(module, completed, f"{name}.")
    return completed


def _require_choices(order: object, pair: object, digital: object) -> None:
    if not isinstance(order, str) or order not in get_args(Order):
        raise ConfigError(f"order={shown(order)}; expected 'exact', 'grouped' or 'net'")
    if pair not in _PAIRS:
        raise ConfigError(
            f"pair={shown(pair)}; expected 'reference', 'push_pull', 'one_sided' or None"
        )
    if not isinstance(digital, torch.optim.Optimizer | None):
        raise ConfigError(
            f"digital={shown(digital)}; expected a torch optimiser of the parameters that are "
            "on no cells, or None for SGD"
        )


def _require_order(order: Order, rule: UpdateRule) -> None:
    """Refuse vectors one after the other with a rule that counts batches."""
    if order == "exact" and rule.counts_batches:
        raise ConfigError(
            f"order='exact' came with a {type(rule).__name__} that counts batches; "
            "expected order='grouped', or a rule that counts vectors: its rates then know no "
            "batches"
        )


def _require_one_process() -> None:
    """Refuse processes that train together: each would move cells of its own by its own batches."""
    _, count = process()
    if count > 1:
        raise ConfigError(
            f"{count} processes train together, whose cells would drift apart; expected one "
            "process: train in place without torch.distributed, or rehearse instead, as "
            "model.train() with an optimiser of torch does"
        )


def _unique(model: nn.Module) -> dict[str, tuple[Layer, Matrix]]:
    found: dict[str, tuple[Layer, Matrix]] = {}
    for name, (layer, matrix) in named_matrices(model).items():
        if all(matrix is not each for _, each in found.values()):
            found[name] = (layer, matrix)
    return found


def _operand(layer: Layer, matrix: Matrix) -> Operand:
    """What a matrix of a layer should hold."""
    key = next(k for k, each in layer.matrices.items() if each is matrix)
    return layer.operands()[key]


def _require_own(layer: Layer, matrix: Matrix) -> None:
    """Refuse a matrix that is computed: what pulses make of it has no parameter to follow."""
    weight = Extent(_operand(layer, matrix).weight)
    own = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    if not any(weight.meets(Extent(tensor)) for tensor in own.values()):
        raise ConfigError(
            f"the weights of {matrix.crossbar.cells.name or 'the layer'} are computed from "
            "parameters, which cannot follow what pulses make of them; expected weights that are "
            "parameters themselves: torch.nn.utils.parametrize.remove_parametrizations before the "
            "conversion, and arrays of their own for the input and the state of recurrent layers"
        )


def _look_at_rehearsals(matrices: Iterable[Matrix]) -> None:
    """Say that nothing is rehearsed, nor its ranges found, where the cells themselves are read."""
    trainings = [matrix.crossbar.config.training for matrix in matrices]
    unused = {name for each in trainings if each is not None for name in each.changed}
    if unused:
        warn(
            f"{', '.join(sorted(unused))} of the setting 'training' have no effect in place, where "
            "passes read the cells themselves; expected none of them, and converters whose ranges "
            "are fixed or calibrated",
            NoEffectWarning,
        )


def _are_alone(places: dict[str, tuple[Layer, Matrix]]) -> list[bool]:
    where = [Extent(_operand(*place).weight) for place in places.values()]
    return [sum(each.meets(other) for other in where) == 1 for each in where]


def _on_cells(places: dict[str, tuple[Layer, Matrix]]) -> Iterator[nn.Parameter]:
    """The parameters that are on cells."""
    done: set[int] = set()
    for layer, matrix in places.values():
        operands = layer.operands()
        held = [o.weight for o in operands.values()]
        held += [o.bias for o in operands.values() if o.bias is not None and matrix.maps_bias]
        extents = [Extent(tensor) for tensor in held]
        for parameter in layer.parameters(recurse=False):
            own = Extent(parameter)
            if any(map(own.meets, extents)) and id(parameter) not in done:
                done.add(id(parameter))
                yield parameter
