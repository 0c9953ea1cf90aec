"""What every programmer promises."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.programmer import Programmer
from memcore.contracts.records import Programmed
from memcore.testing.cases import (
    Untouched,
    array,
    conductances,
    context,
    fail,
    leaves_global_randomness_alone,
)

#: How near an ideal cell must come to its target, as a share of the window, and how many must.
_NEAR = 0.05
_YIELD = 0.95


def _program(
    programmer: Programmer, info: ArrayInfo, target: Tensor | None = None
) -> tuple[Tensor, Programmed]:
    target = conductances(info) if target is None else target
    return target, programmer.program(info, target, context(0, "program"))


def check_reaches_the_target_of_an_ideal_device(programmer: Programmer) -> None:
    """Accepted cells hold their target, and nearly all cells are accepted."""
    info = array(spread=False)
    target, done = _program(programmer, info)
    low, high = info.device.conductance_range()
    error = (done.conductance.expand(info.shape) - target).abs() / (high - low)
    accepted = torch.as_tensor(done.verified).expand(info.shape)
    share = float(accepted.float().mean())
    if share < _YIELD:
        fail(
            programmer,
            f"it gives up on {100 * (1 - share):.3g} % of the cells of an ideal device",
            "allow more pulses or a wider tolerance by default",
        )
    worst = float(error[accepted].max())
    if not worst <= _NEAR:
        fail(
            programmer,
            f"accepted cells miss their target by up to {100 * worst:.3g} % of the window",
            "return the conductance that the cells really have, and verify against the target",
        )


def check_target_out_of_reach_gives_the_nearest_end(programmer: Programmer) -> None:
    """No cell ends outside its own window, whatever is asked."""
    info = array()
    low, high = info.device.conductance_range()
    for factor in (0.1, 10.0):
        _, done = _program(programmer, info, factor * conductances(info))
        g = done.conductance
        inside = (g >= low * (1 - 1e-4)) & (g <= high * (1 + 1e-4))
        if not bool(g.isfinite().all()) or not bool(inside.all()):
            fail(
                programmer,
                f"targets {factor:g} times as high leave conductances from {float(g.min()):.3g} to "
                f"{float(g.max()):.3g} S",
                "write through device.state_of or device.step, which stop at the ends",
            )


def check_reports_what_it_spent(programmer: Programmer) -> None:
    """Pulses and energy are finite, not negative, and one value for each cell or for all."""
    info = array(spread=False)
    _, done = _program(programmer, info)
    for name in ("conductance", "pulses", "energy", "verified"):
        value = torch.as_tensor(getattr(done, name))
        try:
            value.expand(info.shape)
        except RuntimeError:
            fail(
                programmer,
                f"{name} has shape {tuple(value.shape)}",
                f"return what broadcasts to the arrays, {info.shape}",
            )
        if not bool(value.isfinite().all()) or bool((value < 0).any()):
            fail(
                programmer,
                f"{name} lies between {float(value.min()):.3g} and {float(value.max()):.3g}",
                "return finite values >= 0",
            )


def check_follows_the_dtype(programmer: Programmer) -> None:
    """float64 targets give float64 conductances."""
    info = array(spread=False)
    for dtype in (torch.float32, torch.float64):
        _, done = _program(programmer, info, conductances(info, dtype))
        if done.conductance.dtype != dtype:
            fail(
                programmer,
                f"conductance is {done.conductance.dtype} for {dtype} targets",
                "take the dtype from the target",
            )


def check_inputs_stay_as_they_are(programmer: Programmer) -> None:
    """The target is not written into."""
    info = array()
    target = conductances(info)
    untouched = Untouched(target=target)
    _program(programmer, info, target)
    untouched.require(programmer, "program")


def check_same_seed_same_result(programmer: Programmer) -> None:
    """Writing the same chip again, at the same count of writes, gives the same conductances."""
    info = array()
    first, again = (_program(programmer, info)[1].conductance for _ in range(2))
    if not torch.equal(first, again):
        fail(programmer, "one seed gives two results", "draw from ctx.random only")


def check_randomness_is_keyed(programmer: Programmer) -> None:
    """Nothing draws from the global generators."""
    info = array()
    leaves_global_randomness_alone(programmer, lambda: _program(programmer, info))


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_reaches_the_target_of_an_ideal_device,
    check_target_out_of_reach_gives_the_nearest_end,
    check_reports_what_it_spent,
    check_follows_the_dtype,
    check_inputs_stay_as_they_are,
    check_same_seed_same_result,
    check_randomness_is_keyed,
)
