"""Parameters that a fit leaves at 0, which a model that misses the data may need."""

from collections.abc import Collection, Mapping
from typing import Final

import torch
from torch import Tensor

from memcore.fitting.predictions import Model
from memcore.fitting.space import numbers

_MOVED: Final = 0.1  #: in the unit of a parameter, to see whether it acts


def left_at_zero(
    model: Model, values: Mapping[str, float], held: Collection[str]
) -> tuple[str, ...]:
    """A remark on parameters at 0, which are not fitted by default and would change the prediction.

    Those that make a device draw at random, such as noise of a pulse, are not among them.

    Args:
        model: the device under the conditions of the measurement.
        values: fitted parameters.
        held: names that the user wants as they are.
    """
    candidates = [
        name
        for name, value in numbers(model.nominal).items()
        if value == 0 and name not in values and name not in held
    ]
    if not candidates:
        return ()
    rest = model.predict([values])
    acting = [name for name in candidates if _acts(model, values, name, rest)]
    if not acting:
        return ()
    return (
        f"{', '.join(acting)} {'are' if len(acting) > 1 else 'is'} 0 and not fitted, for nothing "
        "tells what is large for it: if it may be another number, say where to begin, "
        f"start={{'{acting[0]}': ...}}",
    )


def _acts(model: Model, values: Mapping[str, float], name: str, rest: Tensor) -> bool:
    """Whether a parameter changes the prediction, and the same way with other draws."""
    for size in (_MOVED, -_MOVED):
        first, other = (model.predict([{**values, name: size}], seed) for seed in (0, 1))
        is_sure = bool(first.isfinite().all()) and torch.equal(first, other)
        if is_sure and not torch.equal(first, rest):  # some act above 0 or below it only
            return True
    return False
