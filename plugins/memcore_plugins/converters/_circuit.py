"""What converters share that are modelled as circuits: who shares one, offset, gain and noise."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import ConfigError, Context, Stream, UniformLevels, parameter
from memcore_plugins.converters._range import Ranged

#: A table of thresholds has 2^bits of them for each converter.
_MOST_BITS = 14


@dataclass(frozen=True, kw_only=True)
class Circuit(Ranged):
    """Base of ADC circuits: codes and range of `uniform`, with errors of each converter."""

    columns_per_adc: int = parameter(
        1, "1", "neighbouring bit lines of an array that share a converter", at_least=1
    )
    offset_std: float = parameter(
        0.0,
        "1",
        "standard deviation of the offset of a converter, as a share of its full range",
        within=(0, 1),
    )
    gain_std: float = parameter(
        0.0, "1", "standard deviation of the gain of a converter, relative to 1", within=(0, 0.5)
    )
    noise_std: float = parameter(
        0.0,
        "1",
        "standard deviation of the noise of each conversion, referred to the input, as a share of "
        "the full range",
        within=(0, 1),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.bits <= _MOST_BITS:
            raise ConfigError(
                f"{type(self).__name__}: bits={self.bits!r}; expected an integer from 2 to "
                f"{_MOST_BITS}"
            )

    @property
    @abstractmethod
    def is_bent(self) -> bool:
        """Whether an error of the circuit itself is switched on."""

    @property
    def differs(self) -> bool:
        return self.is_bent or any((self.offset_std, self.gain_std, self.noise_std))

    def bind(self, full_scale: Tensor, ctx: Context) -> nn.Module:
        levels = self.levels(full_scale)
        if not self.differs:
            return levels
        count, arrays, instance = 1, 1, None
        if ctx.lines is not None:
            arrays = ctx.lines.arrays
            count, instance = ctx.lines.shared(self.columns_per_adc)
        return self.circuit(Instances(self, levels, count, arrays, instance, ctx.random))

    @abstractmethod
    def circuit(self, adcs: "Instances") -> nn.Module:
        """The form of all converters of some bit lines."""


class Instances:
    """The converters of some bit lines, with what is drawn for each.

    Args:
        adc: the circuit.
        levels: ideal levels.
        count: number of converters.
        arrays: number of arrays that they belong to, equally many to each.
        instance: converter of each value; None for one.
        random: where errors are drawn from.
    """

    def __init__(
        self,
        adc: Circuit,
        levels: UniformLevels,
        count: int,
        arrays: int,
        instance: Tensor | None,
        random: Stream,
    ) -> None:
        self.count, self.arrays, self.instance, self._random = count, arrays, instance, random
        self.step, self.codes = float(levels.step), int(levels.hi - levels.lo) + 1
        #: Where the lowest code would begin, in the unit of the values.
        self.bottom = levels.offset + (levels.lo - 0.5) * self.step
        full = 2**adc.bits * self.step
        self.offset = full * adc.offset_std * self.normal("offset", count)
        self.gain = 1 + adc.gain_std * self.normal("gain", count)
        self.noise = full * adc.noise_std
        at = torch.arange(self.codes, dtype=torch.float64, device="cpu") + levels.lo
        self.values = (levels.offset + at * self.step).to(levels.step)

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal draws of a named error, float64."""
        return self._random.child(name).normal(shape, dtype=torch.float64)

    def per_array(self, values: Tensor) -> Tensor:
        """Values [arrays, ...] for each of the converters of the arrays."""
        return values.repeat_interleave(self.count // self.arrays, dim=0)

    def edges(self, thresholds: Tensor) -> Tensor:
        """In the unit of the values, thresholds [instances, codes - 1] of codes in LSB.

        The offset is added before the gain: a converter compares `gain * x + offset`.
        """
        ideal = self.bottom + self.step * thresholds[:, : self.codes - 1]
        edges: Tensor = (ideal - self.offset[:, None]) / self.gain[:, None]
        return edges.to(self.values)
