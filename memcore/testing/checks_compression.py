"""What every compression pass promises."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memcore.contracts.compression import Compressed, CompressionPass
from memcore.crossbar.config import CrossbarConfig
from memcore.random import Stream
from memcore.testing.cases import ReferenceDevice, fail, leaves_global_randomness_alone


def _network() -> nn.Module:
    """A small network with a convolution and two linear layers, always the same one."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 12),
        nn.ReLU(),
        nn.Linear(12, 5),
    )
    stream = Stream(0).child("conformance", "network")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(0.3 * stream.child(name).normal(parameter.shape))
    return model


def _inputs() -> Tensor:
    return Stream(0).child("conformance", "inputs").uniform((16, 1, 8, 8))


def _config() -> CrossbarConfig:
    return CrossbarConfig(
        device=ReferenceDevice(),
        nonidealities=[{"name": "finite_states", "states": 256}],
        tile=(16, 8),
    )


def _begun(plugin: CompressionPass) -> tuple[nn.Module, nn.Module]:
    model = _network()
    return model, plugin.prepare(model, _config(), [_inputs()])


def _trained(plugin: CompressionPass, model: nn.Module, state: nn.Module, steps: int) -> None:
    """Some steps with the penalty, an epoch each."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = model(_inputs()).square().mean()
        penalty = plugin.penalty(model, state)
        optimizer.zero_grad()
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
        plugin.update(model, state)


def check_state_has_no_parameters(plugin: CompressionPass) -> None:
    """The state is a module without parameters, so that no optimiser moves it."""
    _, state = _begun(plugin)
    if not isinstance(state, nn.Module) or list(state.parameters()):
        fail(plugin, f"prepare returns {state!r}", "return a module whose values are buffers")


def check_penalty_is_a_number(plugin: CompressionPass) -> None:
    """A penalty is a finite scalar >= 0 that moves weights, and changes none by itself."""
    model, state = _begun(plugin)
    before = copy.deepcopy(model.state_dict())
    penalty = plugin.penalty(model, state)
    if _differs(before, model.state_dict()):
        fail(plugin, "penalty changes the network", "change weights in finalize only")
    if penalty is None:
        return
    if penalty.dim() or not bool(penalty.isfinite()) or float(penalty.detach()) < 0:
        fail(plugin, f"the penalty is {penalty}", "return a finite scalar >= 0, or None")
    if not penalty.requires_grad:
        fail(plugin, "the penalty has no gradient", "compute it from the parameters of the model")


def check_update_gives_figures(plugin: CompressionPass) -> None:
    """`update` returns numbers by name and leaves the parameters alone."""
    model, state = _begun(plugin)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    figures = plugin.update(model, state)
    if not isinstance(figures, dict) or not all(isinstance(v, float) for v in figures.values()):
        fail(plugin, f"update returns {figures!r}", "return a dict of floats")
    if _differs(before, dict(model.named_parameters())):
        fail(plugin, "update changes parameters", "keep what changes in buffers of the state")


def check_resumes_from_its_state(plugin: CompressionPass) -> None:
    """A state and a network that were saved and loaded go on as if nothing had happened."""
    model, state = _begun(plugin)
    _trained(plugin, model, state, 2)
    again, other = _begun(plugin)
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    other.load_state_dict(copy.deepcopy(state.state_dict()))
    for one, its in ((model, state), (again, other)):
        _trained(plugin, one, its, 2)
    if _differs(model.state_dict(), again.state_dict()):
        fail(
            plugin,
            "a resumed training goes another way",
            "keep in buffers of the state all that changes between prepare and finalize",
        )


def check_leaves_a_network_that_runs(plugin: CompressionPass) -> None:
    """What `finalize` returns maps the same inputs to outputs of the same shape, finite ones."""
    model, state = _begun(plugin)
    _trained(plugin, model, state, 1)
    done = plugin.finalize(model.eval(), state)
    if not isinstance(done, Compressed) or not isinstance(done.model, nn.Module):
        fail(plugin, f"finalize returns {done!r}", "return memcore.Compressed(model=model)")
    with torch.no_grad():
        outputs = done.model(_inputs())
    if outputs.shape != (16, 5) or not bool(outputs.isfinite().all()):
        fail(plugin, "outputs have another shape or are not finite", "keep inputs and outputs")


def check_holding_twice_is_holding_once(plugin: CompressionPass) -> None:
    """Right after `finalize` there is nothing to put back."""
    model, state = _begun(plugin)
    done = plugin.finalize(model.eval(), state)
    before = copy.deepcopy(done.model.state_dict())
    plugin.hold(done.model, state)
    if _differs(before, done.model.state_dict()):
        fail(plugin, "hold changes what finalize left", "let finalize put weights where hold does")


def check_randomness_is_nobodys(plugin: CompressionPass) -> None:
    """Nothing draws from the global generators: a pass gives the same every time."""
    model, inputs = _network(), _inputs()  # whose first weights come from the global generator

    def run() -> None:
        state = plugin.prepare(model, _config(), [inputs])
        plugin.penalty(model, state)
        plugin.update(model, state)
        plugin.finalize(model.eval(), state)

    leaves_global_randomness_alone(plugin, run)


def _differs(one: Any, other: Any) -> bool:
    return one.keys() != other.keys() or any(not torch.equal(one[k], other[k]) for k in one)


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_state_has_no_parameters,
    check_penalty_is_a_number,
    check_update_gives_figures,
    check_resumes_from_its_state,
    check_leaves_a_network_that_runs,
    check_holding_twice_is_holding_once,
    check_randomness_is_nobodys,
)
