"""What every mapper promises."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memcore.contracts.mapper import Mapped, Mapper, Reference
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.crossbar import Crossbar
from memcore.testing.cases import (
    ReferenceDevice,
    Untouched,
    context,
    fail,
    leaves_global_randomness_alone,
)
from memcore.testing.pulses import window

#: Groups, rows, cols of the weights; odd and unequal, so that a swap shows.
_SHAPE = (3, 7, 5)


def _weights(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    drawn = context(0, "weights").random.normal(_SHAPE, dtype=dtype)
    return {
        "normal": drawn,
        "tiny": 1e-6 * drawn,
        "large": 1e3 * drawn,
        "positive": drawn.abs(),
        "negative": -drawn.abs(),
        "equal": torch.ones_like(drawn),
    }


def _map(mapper: Mapper, weight: Tensor) -> Mapped:
    return mapper.map(weight, ReferenceDevice(), context(0, "mapper"))


def _parts(mapped: Mapped) -> Tensor:
    """All parts at the size of the weights, [parts, groups, rows, cols]; a reference is shared."""
    return torch.stack([part.target.expand(_SHAPE) for part in mapped.parts])


def check_targets_have_the_weights_shape(mapper: Mapper) -> None:
    """Each part is [groups, rows, cols], a reference column [groups, rows, 1]."""
    mapped = _map(mapper, _weights()["normal"])
    groups, rows, cols = _SHAPE
    for index, part in enumerate(mapped.parts):
        wanted = (groups, rows, 1 if isinstance(part, Reference) else cols)
        if tuple(part.target.shape) != wanted:
            fail(
                mapper,
                f"the target of part {index} is {tuple(part.target.shape)}",
                f"expected {wanted}: like the weights, or memcore.Reference for one column",
            )
    if not isinstance(mapped.gain, Tensor) or tuple(mapped.gain.shape) not in (
        (mapped.lanes,),
        (mapped.lanes, cols),
        (mapped.lanes, rows, cols),
    ):
        fail(
            mapper,
            f"the gain is {mapped.gain!r}",
            "return a tensor [lanes], [lanes, cols] or [lanes, rows, cols]",
        )


def check_lanes_are_counted(mapper: Mapper) -> None:
    """Lanes count from 0, signs are +1 or -1, and all lanes have equally many references.

    A lane begins with columns of its own, beside which its reference columns lie.
    """
    parts = _map(mapper, _weights()["normal"]).parts
    lanes = sorted({part.lane for part in parts})
    if lanes != list(range(len(lanes))):
        fail(mapper, f"lanes are {lanes}", "number them 0, 1, ... without a gap")
    for index, part in enumerate(parts):
        if part.sign not in (1, -1):
            fail(mapper, f"the sign of part {index} is {part.sign!r}", "expected +1 or -1")
    for lane in lanes:
        first = next(part for part in parts if part.lane == lane)
        if isinstance(first, Reference):
            fail(mapper, f"lane {lane} begins with a reference column", "put its columns first")
    counts = [sum(isinstance(p, Reference) for p in parts if p.lane == lane) for lane in lanes]
    if len(set(counts)) > 1:
        fail(
            mapper,
            f"the lanes have {counts} reference columns",
            "give each lane equally many: arrays have the same size in all lanes",
        )


def check_targets_lie_in_the_window(mapper: Mapper) -> None:
    """No target is out of the device's reach."""
    low, high = window(ReferenceDevice())
    for name, weight in _weights().items():
        parts = _parts(_map(mapper, weight))
        if not bool(parts.isfinite().all()) or not (
            low * (1 - 1e-6) <= float(parts.min()) and float(parts.max()) <= high * (1 + 1e-6)
        ):
            fail(
                mapper,
                f"targets of {name} weights lie in [{float(parts.min()):.4g}, "
                f"{float(parts.max()):.4g}] S",
                f"expected [{low:.4g}, {high:.4g}] S, the range of the nominal device",
            )


def check_parts_give_the_weights_back(mapper: Mapper) -> None:
    """What the targets stand for is the matrix that was mapped, up to half a step of rounding."""
    for name, weight in _weights().items():
        mapped = _map(mapper, weight)
        actual = mapped.weight()
        off = (actual - weight).abs() - 0.5 * torch.as_tensor(mapped.step)
        error = float(off.max()) / float(weight.abs().max())
        if tuple(actual.shape) != _SHAPE or not error <= 1e-5:
            fail(
                mapper,
                f"{name} weights come back as {tuple(actual.shape)}, off by {100 * error:.2g} %",
                "the sum of sign * target of a lane, times gain, summed over lanes, is the weight; "
                "a mapper that rounds says the weight of one step",
            )


def check_step_is_a_weight(mapper: Mapper) -> None:
    """`step`, by half of which rounding may be off, is finite and no larger than the weights."""
    for name, weight in _weights().items():
        step = torch.as_tensor(_map(mapper, weight).step)
        largest = float(weight.abs().max())
        if not bool(((step >= 0) & (step <= 2 * largest)).all()):
            fail(
                mapper,
                f"the step of {name} weights up to {largest:.3g} is {step.tolist()}",
                "return the weight of one step of rounding, or 0 if nothing is rounded",
            )


def check_arrays_compute_the_product(mapper: Mapper) -> None:
    """On tiles of ideal cells, what is read is the product, up to half a step for each weight."""
    weight = _weights()["normal"]
    x = context(0, "inputs").random.normal((4, _SHAPE[0], _SHAPE[1]), dtype=weight.dtype)
    crossbar = Crossbar.of_weight(
        weight,
        CrossbarConfig(device=ReferenceDevice(), mapper=mapper, tile=(3, 4)),
        context(0, "chip").random,
    )
    wanted = torch.einsum("ngr,grc->ngc", x, weight)
    half = 0.5 * float(torch.as_tensor(_map(mapper, weight).step).max())
    off = (crossbar(x) - wanted).abs() - half * x.abs().sum(-1, keepdim=True)
    if not float(off.max()) <= 1e-4 * float(wanted.abs().max()):
        fail(
            mapper,
            f"outputs are off by {float((crossbar(x) - wanted).abs().max()):.2g}",
            "map weights in one way, whatever ctx is; let it decide about what is drawn only",
        )


def check_zero_weights(mapper: Mapper) -> None:
    """A matrix of zeros, as pruning leaves it, is mapped and comes back as zeros."""
    weight = torch.zeros(_SHAPE)
    mapped = _map(mapper, weight)
    restored = mapped.weight()
    if not bool(mapped.gain.isfinite().all()) or not torch.allclose(restored, weight, atol=1e-6):
        fail(
            mapper,
            f"zero weights come back as up to {float(restored.abs().max()):.2g} with a gain of "
            f"{mapped.gain}",
            "guard the division by the largest weight",
        )


def check_inputs_stay_as_they_are(mapper: Mapper) -> None:
    """The weights are not written into."""
    weight = _weights()["normal"]
    untouched = Untouched(weight=weight)
    _map(mapper, weight)
    untouched.require(mapper, "map")


def check_follows_the_dtype(mapper: Mapper) -> None:
    """float32 weights have float32 targets, float64 ones float64."""
    for dtype in (torch.float32, torch.float64):
        mapped = _map(mapper, _weights(dtype)["normal"])
        for part in mapped.parts:
            if part.target.dtype != dtype:
                fail(
                    mapper,
                    f"targets of {dtype} weights are {part.target.dtype}",
                    "take the dtype from the weights",
                )


def check_randomness_is_keyed(mapper: Mapper) -> None:
    """The same seed gives the same targets, and nothing draws from the global generators."""
    weight = _weights()["normal"]
    leaves_global_randomness_alone(mapper, lambda: _map(mapper, weight))
    if not torch.equal(_parts(_map(mapper, weight)), _parts(_map(mapper, weight))):
        fail(mapper, "two maps with one seed differ", "draw from ctx.random only")


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_targets_have_the_weights_shape,
    check_targets_lie_in_the_window,
    check_lanes_are_counted,
    check_parts_give_the_weights_back,
    check_step_is_a_weight,
    check_arrays_compute_the_product,
    check_zero_weights,
    check_inputs_stay_as_they_are,
    check_follows_the_dtype,
    check_randomness_is_keyed,
)
