"""What the bundled devices share: checks of parameters and positions between two ends."""

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from memcore import ConfigError, Context, Distribution, Memristor, Parameter


def require(
    device: Memristor, fits: Callable[[Any], Any], expected: str, names: Sequence[str]
) -> None:
    """Refuse parameters that do not fit, be they numbers, nominal values or drawn tensors.

    Args:
        device: whose parameters.
        fits: elementwise predicate; finite is required anyway.
        expected: completes "expected ...".
        names: of the parameters.

    Raises:
        ConfigError: naming the device, the parameter and what came.
    """
    for name in names:
        value = getattr(device, name)
        if isinstance(value, Tensor):
            _require_drawn(device, fits, name, expected)
            continue
        nominal = value.nominal if isinstance(value, Distribution) else value
        if not isinstance(nominal, Real) or not math.isfinite(nominal) or not fits(nominal):
            raise ConfigError(f"{type(device).__name__}: {name}={value!r}; expected {expected}")


def _require_drawn(device: Memristor, fits: Callable[[Any], Any], name: str, expected: str) -> None:
    drawn: Tensor = getattr(device, name)
    if drawn.is_meta or not drawn.numel():
        return
    # Conditions are intervals, so the two extremes speak for all cells in one pass.
    extremes = torch.stack(drawn.aminmax())
    if bool((fits(extremes) & extremes.isfinite()).all()):
        return
    wrong = ~(fits(drawn) & drawn.isfinite())
    raise ConfigError(
        f"{type(device).__name__}: {int(wrong.sum())} of {drawn.numel()} cells drew {name} "
        f"outside its range; expected {expected}: give the distribution a min or a max"
    )


def positive(value: Any) -> Any:
    """The commonest condition."""
    return value > 0


def negative(value: Any) -> Any:
    """Its mirror image."""
    return value < 0


def number(value: Any) -> Any:
    """Of either sign."""
    return abs(value) >= 0


def unit_interval(value: Any) -> Any:
    """For a normalised state."""
    return (value >= 0) & (value <= 1)


def require_ascending(device: Memristor, low: str, high: str) -> None:
    """Refuse `low >= high` of the nominal values; single drawn cells may cross.

    Raises:
        ConfigError: with both values.
    """
    values = [getattr(device, name) for name in (low, high)]
    first, second = (v.nominal if isinstance(v, Distribution) else v for v in values)
    if not isinstance(first, Tensor) and not isinstance(second, Tensor) and not first < second:
        raise ConfigError(
            f"{type(device).__name__}: {low}={first!r} and {high}={second!r}; "
            f"expected {low} < {high}"
        )


def require_choice(device: Memristor, name: str, choices: Sequence[str]) -> None:
    """Refuse a name that is not among `choices`.

    Raises:
        ConfigError: listing them.
    """
    value = getattr(device, name)
    if value not in choices:
        raise ConfigError(
            f"{type(device).__name__}: {name}={value!r}; expected one of {', '.join(choices)}"
        )


def fraction(value: Tensor, start: Parameter, end: Parameter) -> Tensor:
    """How far `value` lies from `start` to `end`, in [0, 1]; 0 where the two coincide."""
    if not isinstance(start, Tensor) and not isinstance(end, Tensor) and start != end:
        return ((value - start) / (end - start)).clamp_(0, 1)
    span = end - start + torch.zeros_like(value)
    ratio = (value - start) / torch.where(span == 0, 1, span)
    return torch.where(span == 0, 0 * value, ratio).clamp(0, 1)


def log(value: Parameter) -> float | Tensor:
    """Natural logarithm of a number or a tensor."""
    return value.log() if isinstance(value, Tensor) else math.log(_number(value))


def exp(value: Parameter) -> float | Tensor:
    """Exponential of a number or a tensor."""
    return value.exp() if isinstance(value, Tensor) else math.exp(_number(value))


def _number(value: float | Distribution) -> float:
    return value + 0.0


def as_state(*variables: Tensor) -> Tensor:
    """The state [k, *cells] of its k variables."""
    return torch.stack(variables) if len(variables) > 1 else variables[0].unsqueeze(0)


def filled(shape: Sequence[int], value: Parameter, ctx: Context) -> Tensor:
    """One state variable at `value` in all cells, [1, *shape]."""
    return torch.zeros(1, *shape, device=ctx.torch_device) + value
