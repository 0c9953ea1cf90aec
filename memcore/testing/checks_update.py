"""What every update rule promises."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memcore.contracts.update import UpdateRule
from memcore.random import Stream
from memcore.testing.cases import Untouched, context, fail, leaves_global_randomness_alone

_SHAPE = (2, 3, 4)
_LR = 0.05


class ForgetfulWeights:
    """Weights on cells with soft bounds of -1 and 1, whose pulses are without noise.

    Steps are `granularity (1 -+ w)`, so that opposite pulses let a cell forget what it held.

    Args:
        plugin: rule that pulses them, for messages.
    """

    def __init__(self, plugin: UpdateRule) -> None:
        self.shape, self.granularity = _SHAPE, 0.02
        self.w = torch.zeros(_SHAPE)
        self.sent = 0.0
        self._plugin = plugin

    def pulse(self, up: Tensor, down: Tensor, slots: int | None = None) -> None:
        """Move each weight, after a look at what was asked for."""
        del slots
        for name, count in (("up", up), ("down", down)):
            if tuple(count.shape) != _SHAPE:
                fail(
                    self._plugin,
                    f"pulse({name}) has shape {tuple(count.shape)}",
                    f"give a number of pulses for each weight, here {_SHAPE}",
                )
            if not bool((count >= 0).all()) or not torch.equal(count, count.round()):
                fail(
                    self._plugin,
                    f"pulse({name}) asks for numbers of pulses that are not 0, 1, 2 ...",
                    "round them, and give directions apart: pulse(up, down)",
                )
        self.sent += float(up.sum() + down.sum())
        for count, end in ((up, 1.0), (down, -1.0)):
            self.w = end + (self.w - end) * (1 - self.granularity) ** count

    def read(self, x: Tensor) -> Tensor:
        """The product with the weights."""
        return torch.einsum("ngi,goi->ngo", x, self.w)

    def renew(self, share: float) -> None:
        """Do nothing: cells that move both ways need no reset."""


def _arrays(plugin: UpdateRule) -> tuple[ForgetfulWeights, ...]:
    return tuple(ForgetfulWeights(plugin) for _ in range(plugin.arrays))


def _bound(plugin: UpdateRule) -> tuple[nn.Module, tuple[ForgetfulWeights, ...]]:
    arrays = _arrays(plugin)
    module = plugin.bind(arrays, context(0, "update"))
    if not isinstance(module, nn.Module) or list(module.parameters()):
        fail(plugin, f"bind returns {module!r}", "return a module whose values are buffers")
    return module, arrays


def _vectors(number: int, name: str = "vectors") -> tuple[Tensor, Tensor]:
    stream = Stream(0).child("conformance", name)
    groups, outputs, inputs = _SHAPE
    x = stream.child("x").normal((number, groups, inputs))
    return x, 0.5 * stream.child("d").normal((number, groups, outputs))


def _trained(module: nn.Module, number: int, first: int = 0) -> None:
    for k in range(first, first + number):
        module(*_vectors(1, f"vector {k}"), _LR)


def check_state_has_no_parameters(plugin: UpdateRule) -> None:
    """What `bind` returns is a module without parameters, so that no optimiser moves it."""
    _bound(plugin)


def check_weights_go_down_the_gradient(plugin: UpdateRule) -> None:
    """One vector again and again moves the weights of the network against `d x`."""
    module, arrays = _bound(plugin)
    x, d = _vectors(1)
    d = 0.2 * d
    for _ in range(600):
        module(x, d, _LR)
    against, moved = -torch.einsum("ngo,ngi->goi", d, x), arrays[-1].w
    alike = float((moved * against.sign()).sum() / moved.abs().sum().clamp(min=1e-9))
    if not alike > 0.5:
        fail(
            plugin,
            f"the weights moved by {alike:.2g} of their way against d x",
            "pulse w towards w - lr d x; the last of the arrays is the network's",
        )


def check_nothing_moves_without_errors(plugin: UpdateRule) -> None:
    """Where inputs or errors are 0, no array takes a pulse."""
    module, arrays = _bound(plugin)
    x, d = _vectors(8)
    for inputs, errors in ((x, 0 * d), (0 * x, d)):
        module(inputs, errors, _LR)
    if any(array.sent for array in arrays):
        fail(plugin, "pulses are sent for a gradient of 0", "send none where d x is 0")


def check_arguments_stay(plugin: UpdateRule) -> None:
    """The module writes into neither inputs nor errors."""
    module, _ = _bound(plugin)
    x, d = _vectors(4)
    untouched = Untouched(x=x, d=d)
    module(x, d, _LR)
    untouched.require(plugin, "forward")


def check_resumes_from_its_state(plugin: UpdateRule) -> None:
    """A module that has loaded the state of another goes on as it does, bit for bit."""
    module, arrays = _bound(plugin)
    _trained(module, 70)
    others = copy.deepcopy(arrays)
    again = plugin.bind(others, context(0, "update"))
    again.load_state_dict(copy.deepcopy(module.state_dict()))
    for each in (module, again):
        _trained(each, 70, first=70)
    if not all(torch.equal(a.w, b.w) for a, b in zip(arrays, others, strict=True)):
        fail(
            plugin,
            "a resumed training goes another way",
            "keep in buffers all that changes, counts of vectors too",
        )


def check_one_seed_gives_one_training(plugin: UpdateRule) -> None:
    """Draws come from the stream of the context, so that a training can be repeated."""
    runs: list[tuple[ForgetfulWeights, ...]] = []

    def run() -> None:
        module, arrays = _bound(plugin)
        _trained(module, 70)
        runs.append(arrays)

    leaves_global_randomness_alone(plugin, run)
    run()
    if not all(torch.equal(a.w, b.w) for a, b in zip(*runs, strict=True)):
        fail(plugin, "two trainings with one seed differ", "draw from ctx.random alone")


def check_figures_are_numbers(plugin: UpdateRule) -> None:
    """`figures`, if there is such a method, returns numbers by name."""
    module, _ = _bound(plugin)
    _trained(module, 8)
    figures: object = getattr(module, "figures", dict)()
    fits = isinstance(figures, dict) and all(
        isinstance(name, str) and isinstance(value, float | int) for name, value in figures.items()
    )
    if not fits:
        fail(plugin, f"figures returns {figures!r}", "return a dict of numbers")


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_state_has_no_parameters,
    check_weights_go_down_the_gradient,
    check_nothing_moves_without_errors,
    check_arguments_stay,
    check_resumes_from_its_state,
    check_one_seed_gives_one_training,
    check_figures_are_numbers,
)
