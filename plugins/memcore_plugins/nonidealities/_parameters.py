"""What the bundled effects share: checks of parameters, draws of them, and natural constants."""

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Final

import torch
from torch import Tensor

from memcore import ArrayInfo, ConfigError, Context, Distribution, NonIdeality, Parameter

BOLTZMANN: Final = 1.380649e-23  #: J/K
CHARGE: Final = 1.602176634e-19  #: C, of the electron
EV_PER_KELVIN: Final = BOLTZMANN / CHARGE  #: eV/K


def require(
    effect: NonIdeality, fits: Callable[[float], bool], expected: str, names: Sequence[str]
) -> None:
    """Refuse parameters that do not fit; of a distribution the nominal value is looked at.

    Args:
        effect: whose parameters.
        fits: what a value must fulfil.
        expected: completes "expected ...".
        names: of the parameters.

    Raises:
        ConfigError: naming the effect, the parameter and what came.
    """
    for name in names:
        value: Any = getattr(effect, name)
        nominal = value.nominal if isinstance(value, Distribution) else value
        if not (isinstance(nominal, Real) and fits(float(nominal))):
            raise ConfigError(f"{type(effect).__name__}: {name}={value!r}; expected {expected}")


def require_choice(effect: NonIdeality, name: str, choices: Sequence[str]) -> None:
    """Refuse a name that is not among `choices`.

    Raises:
        ConfigError: listing them.
    """
    value = getattr(effect, name)
    if value not in choices:
        raise ConfigError(
            f"{type(effect).__name__}: {name}={value!r}; expected one of {', '.join(choices)}"
        )


def positive(value: float) -> bool:
    """Above 0 and finite."""
    return 0 < value < math.inf


def not_negative(value: float) -> bool:
    """0, or above it and finite."""
    return 0 <= value < math.inf


def drawn(value: Parameter, name: str, array: ArrayInfo, ctx: Context) -> Tensor:
    """A parameter as a tensor: one number, or one of each cell if it is a distribution."""
    if isinstance(value, Distribution):
        return value.sample(ctx.random.child(name), array.shape, device=ctx.torch_device)
    return torch.as_tensor(value, dtype=torch.float32, device=ctx.torch_device)
