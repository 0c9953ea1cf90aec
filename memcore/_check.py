"""Checks of arguments at the public borders, in the same words for all of them."""

import math
from numbers import Integral, Real
from typing import Any, Final

import torch
from torch import Tensor

from memcore._text import shown
from memcore.errors import ConfigError

#: The largest magnitude of a number; float32, in which cells are simulated, holds little more.
LARGEST: Final = 1e38
#: The smallest magnitude beside 0, for the same reason.
SMALLEST: Final = 1e-37
#: Seeds and other integers have 64 bits.
INTEGERS: Final = range(-(2**63), 2**63)
_DTYPES: Final = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def is_number(value: object) -> bool:
    """Whether a value is one real number that float64 holds; booleans are none."""
    if isinstance(value, Tensor):
        return is_plain(value) and not value.dim() and value.dtype is not torch.bool
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def is_integer(value: Any) -> bool:
    """Whether a value is an integer of 64 bits; booleans are none."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) in INTEGERS


def number(
    name: str,
    value: Any,
    *,
    unit: str = "",
    above: float | None = None,
    at_least: float | None = None,
    largest: float = LARGEST,
    remedy: str = "",
) -> float:
    """The argument as a finite float.

    Args:
        name: of the argument.
        value: what came.
        unit: of the argument.
        above: what it must be greater than.
        at_least: or what it must at least be.
        largest: its largest magnitude.
        remedy: what to do about one that lies outside.

    Raises:
        ConfigError: it is something else, or lies outside.
    """
    fits = is_number(value)
    x = float(value) if fits else math.nan
    low = -math.inf if at_least is None else at_least
    if fits and low <= x and (above is None or x > above) and abs(x) <= largest:
        return x
    of = f" of {unit}" if unit else ""
    bound = f" > {above:g}" if above is not None else ""
    bound = bound if at_least is None else f" >= {at_least:g}"
    limit = f" up to {largest:g}" if fits and largest < abs(x) < math.inf else ""
    came = value.item() if fits and isinstance(value, Tensor) else value
    then = f": {remedy}" if remedy and fits else ""
    raise ConfigError(f"{name}={shown(came)}; expected a finite number{of}{bound}{limit}{then}")


def integer(
    name: str,
    value: Any,
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    what: str = "",
) -> int:
    """The argument as an integer of 64 bits.

    Args:
        name: of the argument.
        value: what came.
        at_least: the smallest that it may be.
        at_most: the largest.
        what: what it is, where `an integer` says too little.

    Raises:
        ConfigError: it is something else, too small or too large.
    """
    fits = is_integer(value)
    low, high = (
        default if bound is None else bound
        for bound, default in ((at_least, INTEGERS[0]), (at_most, INTEGERS[-1]))
    )
    if fits and low <= value <= high:
        return int(value)
    bound = "" if at_least is None else f" >= {at_least}"
    bound += "" if at_most is None else f" up to {at_most}"
    large = " of 64 bits" if isinstance(value, Integral) and not fits else ""
    raise ConfigError(f"{name}={shown(value)}; expected {what or f'an integer{large}{bound}'}")


def tensor(name: str, value: Any, shape: str, unit: str, *, any_real: bool = False) -> Tensor:
    """The argument as a tensor of values that can be calculated with.

    Args:
        name: of the argument.
        value: what came.
        shape: what its shape should be, for the message.
        unit: of its values.
        any_real: whether integers do as well as floating-point numbers.

    Raises:
        ConfigError: it is no tensor, or one that is sparse, nested or quantised, or has no values,
            or complex ones, or others that it should not have.
    """
    wanted = f"{shape} in {unit}"
    if not isinstance(value, Tensor):
        raise ConfigError(
            f"{name} is a {type(value).__name__}; expected a tensor {wanted}: use torch.as_tensor"
        )
    if value.is_meta:
        raise ConfigError(f"{name} is on the device meta; expected values, {wanted}: load them")
    if value.is_complex():
        raise ConfigError(
            f"{name} is {value.dtype}; expected real values, {wanted}: use .real, or a tensor for "
            "each part"
        )
    if not is_plain(value):
        raise ConfigError(
            f"{name} is {_odd(value)}; expected a dense tensor {wanted}: use .to_dense() or "
            ".float()"
        )
    if value.dtype not in _DTYPES and not (any_real and not value.is_floating_point()):
        raise ConfigError(
            f"{name} is {value.dtype}; expected {unit} in floating point: use .double()"
        )
    return value


def torch_device(name: str, value: Any) -> None:
    """Refuse what names no torch device.

    Raises:
        ConfigError: it is something else.
    """
    try:
        torch.device("cpu" if value is None else value)
    except (TypeError, RuntimeError, OverflowError, ValueError):
        raise ConfigError(
            f"{name}={shown(value)}; expected a torch device, 'cpu' or 'cuda' say"
        ) from None


def finite(what: str, value: Tensor, whose: str, causes: str, *, largest: float = math.inf) -> None:
    """Refuse derived values that are infinite or NaN, or too large.

    Args:
        what: what the values are.
        value: the values.
        whose: name of the matrix.
        causes: what could have made them so.
        largest: their largest magnitude.

    Raises:
        ConfigError: there are some.
    """
    if value.is_meta or not value.numel():
        return
    most = float(extreme(value))
    if math.isfinite(most) and most <= largest:
        return
    whose = whose or "the arrays"
    wrong = int((~value.isfinite()).sum())
    if wrong:
        raise ConfigError(
            f"{wrong} of {value.numel()} {what} of {whose} are infinite or NaN; expected finite "
            f"ones: look at {causes}"
        )
    raise ConfigError(
        f"{what} of {whose} are up to {most:.3g}; expected at most {largest:g}: look at {causes}"
    )


def extreme(value: Tensor) -> Tensor:
    """The largest magnitude, infinite or NaN if anything is."""
    value = value.detach()
    turned = value.dim() > 1 and not value.is_contiguous()
    dense = value.transpose(-1, -2) if turned else value  # no copy is made
    return torch.stack(dense.aminmax()).abs().max()


def is_plain(value: Tensor) -> bool:
    """Whether a tensor is dense, real and has values."""
    return not (
        value.is_nested
        or value.layout is not torch.strided
        or value.is_quantized
        or value.is_meta
        or value.is_complex()
        or (value.is_floating_point() and value.dtype not in _DTYPES)
    )


def _odd(value: Tensor) -> str:
    if value.is_nested or value.layout is not torch.strided:
        return "nested" if value.is_nested else "sparse"
    return str(value.dtype)
