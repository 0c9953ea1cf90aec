"""Forms: bound non-idealities and converters as data that the kernels understand.

A plugin's `bind` returns one of these, or any `nn.Module` with the same `forward`. Forms hold
tensors as buffers, so they follow `.to()`, `state_dict` and `deepcopy`; each broadcasts against
conductances [arrays, rows, cols] or currents [arrays, cols].
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from memcore import _check
from memcore._tensor import as_tensor
from memcore.errors import ConfigError
from memcore.ops import quantize
from memcore.random import ReadStream

#: What an ageing effect may count.
Count = Literal["seconds", "cycles", "reads"]


def _buffer(value: Tensor | float) -> Tensor:
    return as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float32)


class Affine(nn.Module):
    """`x * gain + offset`, the same at every read.

    Args:
        gain: factor, dimensionless.
        offset: offset in the unit of x, siemens or ampere.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, gain: Tensor | float = 1.0, offset: Tensor | float = 0.0) -> None:
        super().__init__()
        self.register_buffer("gain", _buffer(gain))
        self.register_buffer("offset", _buffer(offset))

    def forward(self, x: Tensor) -> Tensor:
        """Apply to conductances or currents."""
        return x * self.gain + self.offset


class Gaussian(nn.Module):
    """`x + sigma * N(0, 1)`, new at every read, `sigma^2 = std^2 + (relative * x)^2`.

    Args:
        std: standard deviation in the unit of x, siemens or ampere.
        relative: standard deviation as a fraction of x.

    A subclass may override `variance`; `seconds` since programming is set before it is called, and
    one that depends on the conductances overrides `settle` too.
    """

    std: Tensor
    relative: Tensor
    seconds: Tensor

    def __init__(self, std: Tensor | float = 0.0, relative: Tensor | float = 0.0) -> None:
        super().__init__()
        self.register_buffer("std", _buffer(std))
        self.register_buffer("relative", _buffer(relative))
        now = torch.zeros((), dtype=torch.float64, device="cpu")
        self.register_buffer("seconds", now, persistent=False)

    def settle(self, conductance: Tensor, seconds: Tensor) -> None:
        """Take note of the conductances and of the time, whenever these change.

        Those [arrays, rows, cols] S before ageing for the noise of cells (`Stage.READ`), those that
        a read finds for the noise of lines (`Stage.CURRENT`).
        """
        del conductance
        self.seconds.copy_(seconds)

    def variance(self, x: Tensor) -> Tensor:
        """The variance `sigma^2` of each cell or line."""
        return (self.relative * x).square_().add_(self.std**2)

    def forward(self, x: Tensor, stream: ReadStream) -> Tensor:
        """A noisy copy of x [1 or reads, ...] for each read."""
        return x + self.variance(x).sqrt() * stream.normal(x.shape[1:]).to(x.dtype)


class Aging(nn.Module):
    """Base of forms of `Stage.AGE` that count something else than seconds, or feel the heat.

    `forward(g, elapsed)` gives the conductances after `elapsed` [] of what `clock` counts since
    programming, each part of it times `acceleration` at the temperature at which it passed; of k
    accelerations there are k of `elapsed`.
    """

    clock: ClassVar[Count] = "seconds"  #: "cycles" and "reads" are the others

    def acceleration(self, temperature: Tensor) -> Tensor:
        """The speed of the clock at each `temperature` [n] in K, 1 unless overridden.

        One that is not the same for everything in a form returns [k, n].
        """
        return torch.ones_like(temperature)


class Steady(nn.Module):
    """Base of forms of one's own that do the same to every read: `forward(x)`, without a stream.

    Steady effects of `Stage.READ` that come first cost nothing at a read: they act once, whenever
    the conductances change.
    """


class UniformLevels(nn.Module):
    """Round to the nearest of equidistant levels.

    Args:
        step: distance of two levels, in the unit of x.
        lo: the lowest level is `offset + step * lo`, lo an integer.
        hi: the highest level is `offset + step * hi`.
        offset: of all levels, in the unit of x; with one, kernels do not fuse the form.

    Raises:
        ConfigError: `lo`, `hi` or `offset` is no finite number.
    """

    step: Tensor

    def __init__(self, step: Tensor | float, lo: float, hi: float, *, offset: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("step", _buffer(step).reshape(-1))
        self.lo = _check.number("lo", lo)
        self.hi = _check.number("hi", hi)
        self.offset = _check.number("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Quantise; the gradient passes straight through inside the range and stops outside."""
        if self.offset:
            return quantize.uniform(x - self.offset, self.step, self.lo, self.hi) + self.offset
        return quantize.uniform(x, self.step, self.lo, self.hi)


class SerialLevels(UniformLevels):
    """Levels that are applied digit by digit, the lowest first, and added up digitally.

    The integer code of a value is written in base `2^bits_per_step`. Each digit drives the word
    lines as a share of the largest input, for one read of its own.

    Args:
        step: distance of two levels, in input units.
        lo: lowest code, an integer.
        hi: highest code, an integer.
        bits_per_step: bits of one digit; no more than the largest magnitude has, less the sign bit
            of a two's complement, are used, so that the largest digit drives the whole input.
        signed: how negative codes are applied. "magnitude" gives each digit the sign of the value.
            "split" applies the digits of positive values first, then those of negative ones, which
            count negative; no digit is negative. "twos_complement" has digits of at least 0 and,
            where `lo` is negative, the sign bit in a last step of its own, which counts negative;
            it wants `lo = -2^(k-1)` and `hi < 2^(k-1)` then.

    Raises:
        ConfigError: these codes have no two's complement, or a step has less than one bit.
    """

    def __init__(
        self,
        step: Tensor | float,
        lo: float,
        hi: float,
        *,
        bits_per_step: int = 1,
        signed: Literal["magnitude", "split", "twos_complement"] = "magnitude",
    ) -> None:
        super().__init__(step, lo, hi)
        if signed == "twos_complement":
            _require_twos_complement(int(self.lo), int(self.hi))
        bits_per_step = _check.integer("bits_per_step", bits_per_step, at_least=1)
        self.signed = signed
        largest = -self.lo - 1 if self._has_sign_bit else max(abs(self.lo), abs(self.hi))
        bits = int(largest).bit_length()
        self.bits_per_step = min(bits_per_step, max(1, bits))
        #: Steps for a magnitude, or for all but the sign bit of a two's complement.
        self._below = -(-bits // self.bits_per_step)
        if not self._has_sign_bit:
            self._below = max(1, self._below)
        self.steps = len(self.places)

    @property
    def places(self) -> tuple[float, ...]:
        """What a full digit of each step counts for, as a share of the largest input."""
        largest = max(abs(self.lo), abs(self.hi))
        base = 2**self.bits_per_step
        places = [(base - 1) * base**k / largest for k in range(self._below)]
        if self.lo < 0 and self.signed == "split":
            places += [-place for place in places]
        if self._has_sign_bit:
            places.append(-1.0)
        return tuple(places)

    @property
    def _has_sign_bit(self) -> bool:
        return self.lo < 0 and self.signed == "twos_complement"

    @property
    def planes(self) -> tuple[tuple[int, int, int, int], ...]:
        """Which bits of a code make the digits of each step, as `memcore.ops.serial_read` wants."""
        below, width = self._below, self.bits_per_step

        def of(source: int, first: int = 0, sign: int = 1) -> list[tuple[int, int, int, int]]:
            bits = range(below * width)
            return [(first + k // width, source, k, sign << k % width) for k in bits]

        if self._has_sign_bit:
            return (*of(2), (below, 3, 0, 2**self.bits_per_step - 1))
        if self.lo >= 0:
            return tuple(of(0))
        if self.signed == "split":
            return (*of(0), *of(1, below))
        return tuple(sorted([*of(0), *of(1, sign=-1)]))

    def digits(self, x: Tensor) -> Tensor:
        """What drives the word lines in each step, [steps, *x.shape] in input units."""
        code = (x / self.step).round().clamp(self.lo, self.hi)
        full = 2**self.bits_per_step - 1
        if self._has_sign_bit:
            negative = (code < 0).to(code.dtype)
            digits = [*self._of(code - self.lo * negative), full * negative]
        elif self.lo < 0 and self.signed == "split":
            digits = [*self._of(code.clamp(min=0)), *self._of((-code).clamp(min=0))]
        else:
            sign = code.sign()
            digits = [digit * sign for digit in self._of(code.abs())]
        peak = self.step * max(abs(self.lo), abs(self.hi))
        drives: Tensor = torch.stack(digits) * (peak / full)
        return drives

    def _of(self, code: Tensor) -> list[Tensor]:
        """The digits of codes >= 0."""
        base, rest, digits = 2**self.bits_per_step, code, []
        for _ in range(self._below):
            higher = torch.div(rest, base, rounding_mode="floor")
            digits.append(rest - base * higher)
            rest = higher
        return digits


def _require_twos_complement(lo: int, hi: int) -> None:
    if lo == 0 <= hi:
        return
    if lo < 0 <= hi < -lo and -lo & (-lo - 1) == 0:
        return
    raise ConfigError(
        f"codes from {lo} to {hi} have no two's complement; expected lo = -2^(k-1) and "
        'hi < 2^(k-1), or lo = 0; or signed="magnitude"'
    )


class Lookup(nn.Module):
    """Piecewise-constant: `values[i]` where x lies between `edges[i - 1]` and `edges[i]`.

    Args:
        edges: edges of the intervals, ascending, [n - 1].
        values: value of each interval, [n].
    """

    edges: Tensor
    values: Tensor

    def __init__(self, edges: Tensor, values: Tensor) -> None:
        super().__init__()
        if values.numel() != edges.numel() + 1:
            raise ConfigError(
                f"{values.numel()} values for {edges.numel()} edges; expected one value more"
            )
        self.register_buffer("edges", edges)
        self.register_buffer("values", values)

    def forward(self, x: Tensor) -> Tensor:
        """Look up; the gradient passes straight through."""
        nearest = self.values[torch.bucketize(x.detach().contiguous(), self.edges)]
        return x + (nearest - x).detach()


#: What the kernels know; any other `nn.Module` works too, only slower.
Form = Affine | Gaussian | UniformLevels | Lookup
