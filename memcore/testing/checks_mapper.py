"""What every mapper promises."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memcore.contracts.mapper import Mapper
from memcore.contracts.records import Mapped
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
    shape = (*mapped.targets[0].shape[:-1], max(t.shape[-1] for t in mapped.targets))
    return torch.stack([target.expand(shape) for target in mapped.targets])


def check_targets_have_the_weights_shape(mapper: Mapper) -> None:
    """Each part is [groups, rows, cols], or [groups, rows, 1] for a reference column."""
    mapped = _map(mapper, _weights()["normal"])
    groups, rows, cols = _SHAPE
    allowed = ((groups, rows, cols), (groups, rows, 1))
    for part, target in enumerate(mapped.targets):
        if tuple(target.shape) not in allowed:
            fail(
                mapper,
                f"part {part} of the targets is {tuple(target.shape)}",
                f"expected {allowed[0]} like the weights, or {allowed[1]} for a reference column",
            )
    if not isinstance(mapped.gain, Tensor) or tuple(mapped.gain.shape) not in ((), (1,), (cols,)):
        fail(mapper, f"the gain is {mapped.gain!r}", "return a tensor, a scalar or [cols]")


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


def check_decode_gives_the_weights_back(mapper: Mapper) -> None:
    """What the targets hold, decoded, is the matrix that was mapped."""
    for name, weight in _weights().items():
        mapped = _map(mapper, weight)
        found = mapper.decode(_parts(mapped), mapped)
        error = float((found - weight).abs().max()) / float(weight.abs().max())
        if tuple(found.shape) != _SHAPE or not error <= 1e-5:
            fail(
                mapper,
                f"{name} weights come back as {tuple(found.shape)}, off by {100 * error:.2g} %",
                "decode undoes map: combine(targets) * gain is the weight matrix",
            )


def check_product_gives_the_product(mapper: Mapper) -> None:
    """Currents decoded are outputs: decode(x G) = x W."""
    weight = _weights()["normal"]
    x = context(0, "inputs").random.normal((4, _SHAPE[0], 1, _SHAPE[1]), dtype=weight.dtype)
    mapped = _map(mapper, weight)
    currents = torch.stack([(x @ part).squeeze(-2) for part in _parts(mapped)])
    found, wanted = mapper.decode(currents, mapped), (x @ weight).squeeze(-2)
    if not torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max())):
        fail(
            mapper,
            f"outputs are off by {float((found - wanted).abs().max()):.2g}",
            "combine subtracts what the offset of the conductances adds to a current",
        )


def check_zero_weights(mapper: Mapper) -> None:
    """A matrix of zeros, as pruning leaves it, is mapped and comes back as zeros."""
    weight = torch.zeros(_SHAPE)
    mapped = _map(mapper, weight)
    found = mapper.decode(_parts(mapped), mapped)
    if not bool(mapped.gain.isfinite().all()) or not torch.allclose(found, weight, atol=1e-6):
        fail(
            mapper,
            f"zero weights come back as up to {float(found.abs().max()):.2g} with a gain of "
            f"{mapped.gain}",
            "guard the division by the largest weight",
        )


def check_combine_is_linear(mapper: Mapper) -> None:
    """combine(a I + b J) = a combine(I) + b combine(J)."""
    parts = len(_map(mapper, _weights()["normal"]).targets)
    shape = (parts, 4, _SHAPE[2])
    i, j = (context(0, name).random.normal(shape, dtype=torch.float64) for name in "ij")
    found = mapper.combine(2.0 * i - 0.5 * j)
    wanted = 2.0 * mapper.combine(i) - 0.5 * mapper.combine(j)
    if found.shape != wanted.shape or tuple(found.shape) != shape[1:]:
        fail(
            mapper,
            f"combine turns {shape} into {tuple(found.shape)}",
            "expected the parts, the first dimension, to be combined and nothing else",
        )
    if not torch.allclose(found, wanted):
        fail(
            mapper,
            f"combine is not linear, by {float((found - wanted).abs().max()):.2g}",
            "combine is a weighted sum of the parts; scale by the gain in decode",
        )


def check_inputs_stay_as_they_are(mapper: Mapper) -> None:
    """The weights, the currents and what was mapped are not written into."""
    weight = _weights()["normal"]
    untouched = Untouched(weight=weight)
    mapped = _map(mapper, weight)
    untouched.require(mapper, "map")
    current = _parts(mapped).clone()
    untouched = Untouched(current=current, gain=mapped.gain)
    mapper.decode(current, mapped)
    untouched.require(mapper, "decode")


def check_follows_the_dtype(mapper: Mapper) -> None:
    """float32 weights have float32 targets, float64 ones float64."""
    for dtype in (torch.float32, torch.float64):
        mapped = _map(mapper, _weights(dtype)["normal"])
        for target in mapped.targets:
            if target.dtype != dtype:
                fail(
                    mapper,
                    f"targets of {dtype} weights are {target.dtype}",
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
    check_decode_gives_the_weights_back,
    check_product_gives_the_product,
    check_zero_weights,
    check_combine_is_linear,
    check_inputs_stay_as_they_are,
    check_follows_the_dtype,
    check_randomness_is_keyed,
)
