"""What drives the word lines: the inputs, in one phase or digit by digit."""

import torch.nn.functional as F
from torch import Tensor

from memcore.contracts.forms import SerialLevels


def drive(x: Tensor, constant: bool, value: float = 1.0) -> Tensor:
    """Inputs [n, groups, inputs] with the constant one, if there is one."""
    return F.pad(x, (0, 1), value=value) if constant else x


def in_phases(dac: SerialLevels, x: Tensor, constant: bool) -> list[tuple[Tensor, float]]:
    """What drives the word lines in each phase, and what the phase counts for.

    The constant input is applied in the phase of the largest place that counts positive, as two's
    complement drives no word line with a negative voltage.
    """
    places = dac.places
    top = places.index(max(places))
    return [
        (drive(digits, constant, 1 / place if k == top else 0.0), place)
        for k, (digits, place) in enumerate(zip(dac.digits(x), places, strict=True))
    ]
