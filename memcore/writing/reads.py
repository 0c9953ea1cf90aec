"""Reads of cells between pulses: what they find, how noisy they are, what they cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.forms import Gaussian
from memcore.contracts.records import Context
from memcore.writing.options import ReadOptions


@dataclass(frozen=True, eq=False)
class Reads:
    """Reads of single cells, which move nothing.

    Args:
        array: the cells, with the noise that the configuration has for any read.
        voltage: in V, for the energy of a read.
        time: of a read in s.
        given: standard deviation of a read as a share of the conductance, and in S; None takes the
            noise of `array`.

    Examples:
        >>> from memcore.testing.cases import array
        >>> from memcore.writing import Reads
        >>> reads = Reads(array(), voltage=0.2, time=1e-7, given=(0.01, 0.0))
        >>> g, cells = torch.tensor([1e-5, 1e-4]), torch.tensor([4, 5])
        >>> reads.sigma(g, cells)
        tensor([1.0000e-07, 1.0000e-06])
        >>> reads.energy(g)
        tensor([4.0000e-14, 4.0000e-13])
    """

    array: ArrayInfo
    voltage: float
    time: float
    given: tuple[float, float] | None = None

    @classmethod
    def of(cls, array: ArrayInfo, options: ReadOptions) -> "Reads":
        """Reads of an array as the parameters of a programmer have them."""
        volts = array.read_voltage if options.read_voltage is None else options.read_voltage
        return cls(array, volts, options.read_time, options.noise)

    @cached_property
    def same(self) -> tuple[float, float] | None:
        """Relative and absolute deviation if all cells have the same ones, None if they differ."""
        return _same_noise(self.array.noises) if self.given is None else self.given

    @cached_property
    def noisy(self) -> bool:
        """Whether reads are noisy at all."""
        return self.same is None or any(self.same)

    def energy(self, g: Tensor) -> Tensor:
        """Energy in J of one read of cells that conduct `g` S."""
        return self.voltage**2 * self.time * g

    def sigma(self, g: Tensor, cells: Tensor) -> Tensor | float:
        """Standard deviation of a read in S.

        Args:
            g: conductances [n] in S.
            cells: int64 [n], numbers of the cells in the arrays, in C order.
        """
        if not self.noisy:
            return 0.0
        if self.same is not None:
            relative, std = self.same
            return (std**2 + (relative * g) ** 2) ** 0.5
        every = g.new_zeros(self.array.shape)
        every.view(-1)[cells] = g
        variance = self.array.read_variance(every).to(g).expand(self.array.shape)
        return variance.reshape(-1)[cells].sqrt()

    def taken(self, g: Tensor, sigma: Tensor | float, ctx: Context, cells: Tensor) -> Tensor:
        """Conductances in S that one read of the cells finds, with noise drawn from `ctx`."""
        return g + sigma * self.draw(g, ctx, cells) if self.noisy else g

    def draw(self, like: Tensor, ctx: Context, cells: Tensor) -> Tensor:
        """Noise of one read in standard deviations, shaped as `like`."""
        stream = ctx.random.of_cells(cells.flatten())
        return stream.normal(like.shape, device=like.device, dtype=like.dtype)


def _same_noise(noises: Sequence[Gaussian]) -> tuple[float, float] | None:
    """Relative and absolute deviation of the sum, None if cells have noise of their own."""
    plain = [noise for noise in noises if type(noise) is Gaussian]
    if len(plain) < len(noises) or any(n.std.numel() * n.relative.numel() != 1 for n in plain):
        return None
    relative, std = ([float(getattr(n, of)) for n in plain] for of in ("relative", "std"))
    return math.hypot(*relative), math.hypot(*std)
