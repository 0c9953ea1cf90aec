"""A ramp ADC: all bit lines of an array are compared with the steps of one ladder."""

from dataclasses import dataclass

from torch import nn

from memcore import Thresholds, parameter
from memcore_plugins.converters._circuit import Circuit, Instances


@dataclass(frozen=True, kw_only=True)
class Ramp(Circuit):
    """A staircase that all converters of an array share, and a comparator for each of them.

    The staircase is a ladder of 2^bits elements, `1 + N(0, sigma)` each, over the whole range: its
    error is common to the bit lines of an array. `offset_std` is that of the comparators. As in
    Spear et al., IEEE JxCDC 2023. Without errors it is `uniform`.
    """

    element_std: float = parameter(
        0.0,
        "1",
        "standard deviation sigma of an element of the ladder, relative to its size",
        within=(0, 0.25),
    )

    @property
    def is_bent(self) -> bool:
        return self.element_std > 0

    def circuit(self, adcs: Instances) -> nn.Module:
        draws = adcs.normal("ladder", adcs.arrays, 2**self.bits)
        steps = (1 + self.element_std * draws).clamp(min=0).cumsum(1)
        ladder = 2**self.bits * steps[:, :-1] / steps[:, -1:]
        edges = adcs.edges(adcs.per_array(ladder))
        return Thresholds(edges, adcs.values, adcs.instance, adcs.noise)
