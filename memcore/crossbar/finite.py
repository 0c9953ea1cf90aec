"""Conductances that effects leave finite."""

import torch
from torch import Tensor

from memcore.errors import ConfigError


def require_finite(conductance: Tensor, effect: str) -> None:
    """Refuse conductances that an effect made infinite or NaN.

    Args:
        conductance: S, any shape.
        effect: name of what gave them.

    Raises:
        ConfigError: naming the effect and how many cells it concerns.
    """
    if torch.compiler.is_compiling() or conductance.is_meta or not conductance.numel():
        return
    if bool(torch.stack(conductance.detach().aminmax()).isfinite().all()):
        return
    wrong = int((~conductance.isfinite()).sum())
    raise ConfigError(
        f"{effect!r} makes {wrong} of {conductance.numel()} conductances infinite or NaN; expected "
        "finite ones: look at its parameters, and at the distributions among them"
    )
