"""The nonlinearity label of NeuroSim: from NL to the line of a pulse, without the printed table."""

import math
from typing import Final

import torch
from torch import Tensor

from memcore import Parameter
from memcore_plugins._tensor import as_tensor

#: NL over the largest deviation of the normalised curve from the straight line.
_LABEL: Final = 1 / (0.07 * math.sqrt(2))
_LINEAR: Final = 1e-3  #: smaller labels are straight lines
_NEWTON: Final = 12


def rate_of(nl: Parameter) -> Tensor:
    """1 / A_norm of a label NL, float64 [*cells]; 0 for |NL| < 1e-3 and of the sign of NL.

    The label is 1 / (0.07 sqrt(2)) times the largest deviation of the curve
    (1 - e^(-x/A)) / (1 - e^(-1/A)) from x, so that A follows without a table.

    Args:
        nl: label, |NL| < 10.
    """
    label = as_tensor(nl, dtype=torch.float64)
    wanted = label.abs().clamp(min=_LINEAR) / _LABEL
    # Towards small labels the deviation is 1 / (8 A), towards large ones 1 - (1 + ln a) / a.
    rate = 8 * wanted / (1 - wanted)
    for _ in range(_NEWTON):
        deviation, slope = _deviation(rate)
        rate = torch.maximum(rate - (deviation - wanted) / slope, 0.2 * rate)
    return torch.where(label.abs() < _LINEAR, 0, rate * label.sign())


def _deviation(rate: Tensor) -> tuple[Tensor, Tensor]:
    """The largest deviation from the straight line at a = 1/A, and its derivative."""
    kept = -(-rate).expm1()
    log = (rate / kept).log()
    # The maximum is stationary in x: only the explicit dependence on a counts.
    place = log / rate
    slope = (
        place * (-rate * place).exp() - (-(-rate * place).expm1()) * (-rate).exp() / kept
    ) / kept
    return 1 / kept - (1 + log) / rate, slope


def line_of(nl: Parameter, pulses: Parameter) -> tuple[Tensor, Tensor]:
    """The a and k of a pulse x -> x + a - k x on the curve of a label."""
    rate, count = rate_of(nl), as_tensor(pulses, dtype=torch.float64)
    fall = -rate / count
    bent = torch.where(rate == 0, 1, -rate).expm1()
    return torch.where(rate == 0, 1 / count, fall.expm1() / bent), -fall.expm1()
