"""A successive-approximation ADC, whose capacitors do not match."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import ConfigError, Thresholds, parameter
from memcore_plugins.converters._circuit import Circuit, Instances


@dataclass(frozen=True, kw_only=True)
class Sar(Circuit):
    """Binary search with a capacitive DAC, one bit after the other.

    Capacitor i of the DAC is `2^i + N(0, sigma) sqrt(2^i)` unit capacitors, beside one that fills
    the sum up to 2^bits, and the DAC gives the share of the capacitors that a code switches. With
    `split`, the lowest bits have an array of their own behind a bridge of `2^split / (2^split - 1)`
    units, drawn likewise. Circuit and errors as in Spear et al., IEEE JxCDC 2023. Without errors it
    is `uniform`.
    """

    capacitor_std: float = parameter(
        0.0,
        "1",
        "standard deviation sigma of a unit capacitor, relative to its size",
        within=(0, 0.25),
    )
    split: int = parameter(
        0, "1", "bits of the lower part of a split DAC; 0 for one that is not split", at_least=0
    )
    amplifier_gain: float | None = parameter(
        None,
        "dB",
        "open-loop gain A of the buffer that samples the input, which it scales by A / (1 + A); "
        "None for an ideal one",
        above=0,
        at_most=300,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split >= self.bits:
            raise ConfigError(
                f"Sar: split={self.split!r}; expected fewer than bits={self.bits!r}, or 0"
            )

    @property
    def is_bent(self) -> bool:
        return self.capacitor_std > 0 or self.amplifier_gain is not None

    def circuit(self, adcs: Instances) -> nn.Module:
        if self.amplifier_gain is not None:
            amplifier = 10 ** (self.amplifier_gain / 20)
            adcs.gain = adcs.gain * (amplifier / (1 + amplifier))
        edges = adcs.edges(searched(self.dac(adcs)))
        return Thresholds(edges, adcs.values, adcs.instance, adcs.noise)

    def dac(self, adcs: Instances) -> Tensor:
        """What the DAC gives for each code, in LSB, [instances, 2^bits]."""
        lower, upper = self.split, self.bits - self.split
        high, high_sum = self._array(adcs, "upper", upper, filled=not lower)
        shares = high / high_sum
        if lower:
            low, low_sum = self._array(adcs, "lower", lower, filled=True)
            bridge = 2**lower / (2**lower - 1)
            draw = adcs.normal("bridge", adcs.count, 1)
            bridge = bridge + self.capacitor_std * math.sqrt(bridge) * draw
            whole = high_sum + bridge * low_sum / (bridge + low_sum)
            low = low * (bridge / (bridge + low_sum)) / whole
            shares = torch.cat([low, high / whole], dim=1)
        codes = torch.arange(2**self.bits, device="cpu")
        switched = (codes >> torch.arange(self.bits, device="cpu")[:, None]) & 1
        levels: Tensor = 2**self.bits * (shares @ switched.double())
        return levels

    def _array(
        self, adcs: Instances, name: str, bits: int, *, filled: bool
    ) -> tuple[Tensor, Tensor]:
        """Capacitors of a binary array, [instances, bits], and the sum of all, [instances, 1]."""
        size = torch.cat(
            [
                2.0 ** torch.arange(bits, dtype=torch.float64, device="cpu"),
                torch.ones(1, device="cpu"),
            ]
        )
        draws = adcs.normal(name, adcs.count, bits + 1)
        capacitors = size + self.capacitor_std * size.sqrt() * draws
        used = capacitors[:, :bits]
        return used, (capacitors if filled else used).sum(1, keepdim=True)


def searched(levels: Tensor) -> Tensor:
    """Thresholds of a binary search over the levels of a DAC, [instances, codes - 1].

    Where levels are out of order the search misses codes, which then have no width.

    Args:
        levels: of each code, [instances, codes], their number a power of two.
    """
    count = levels.shape[1]
    code = torch.arange(count, device="cpu")
    lowest = torch.full_like(levels, -math.inf)
    highest = torch.full_like(levels, math.inf)
    for bit in range(count.bit_length() - 1):
        tried = (code >> bit | 1) << bit
        level, is_set = levels[:, tried], (code >> bit & 1).bool()
        lowest = torch.where(is_set, torch.maximum(lowest, level), lowest)
        highest = torch.where(is_set, highest, torch.minimum(highest, level))
    lowest = torch.where(lowest < highest, lowest, math.inf)
    return lowest.flip(1).cummin(1).values.flip(1)[:, 1:]
