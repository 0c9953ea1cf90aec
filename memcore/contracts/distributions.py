"""Distributions of device parameters: a field that holds one is drawn anew for every cell."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from memcore import _check
from memcore._keywords import hinted
from memcore._text import shown
from memcore.errors import ArgumentTypeError, ConfigError
from memcore.random import Stream

#: No normal number is larger: they are sqrt(-2 ln u) times a cosine, with u of at least 2^-33.
_LARGEST_NORMAL = 6.77
#: Numbers that are transformed while they stay in the cache.
_AT_ONCE = 1 << 18
#: Below this probability of falling inside the bounds, resampling would take for ever.
_LEAST_ACCEPTANCE = 1e-3


@dataclass(frozen=True)
class Distribution(ABC):
    """A parameter that differs from cell to cell, in the parameter's own unit."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def nominal(self) -> float:
        """The value that a designer would plan with."""

    @abstractmethod
    def sample(
        self, stream: Stream, shape: Sequence[int], *, device: torch.device | str | None = None
    ) -> Tensor:
        """Draw one value per cell, float32 [*shape]."""

    def _require(self, name: str, **bounds: Any) -> None:
        """Refuse what is no number within the bounds of `_check.number`; keep it as a float."""
        value = _check.number(f"{name} of {type(self).__name__}", getattr(self, name), **bounds)
        object.__setattr__(self, name, value)

    def _undrawn(self, *_: object) -> NoReturn:
        raise ArgumentTypeError(
            f"{self!r} is not a number yet; calculate with device.sample(shape, ctx) or "
            "device.nominal()"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _undrawn
    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __neg__ = _undrawn


@dataclass(frozen=True)
class _Truncated(Distribution):
    """A transformed normal draw inside `[min, max]`, redrawn until it is.

    A draw outside the bounds is replaced by the same cell's next one: the density keeps its
    shape, and nothing piles up at the bound.
    """

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The bounds of the underlying standard normal draw."""

    @abstractmethod
    def transform(self, z: Tensor) -> Tensor:
        """The parameter for a standard normal draw, in the memory of the draw."""

    def _validate(self, least: float | None, most: float | None) -> None:
        for name, bound in (("min", least), ("max", most)):
            if bound is not None and not _is_bound(bound):
                raise ConfigError(
                    f"{name} of {type(self).__name__}={shown(bound)}; expected a number of "
                    f"magnitude up to {_check.LARGEST:g}, or None"
                )
        if least is not None and most is not None and least > most:
            raise ConfigError(f"{self!r}: min is above max; expected min < max")
        low, high = self.bounds
        accepted = 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)))
        if accepted < _LEAST_ACCEPTANCE:
            raise ConfigError(
                f"{self!r}: only {100 * accepted:.2g} % of the draws fall inside the bounds; "
                "expected min < max around the bulk of the distribution"
            )

    def sample(
        self, stream: Stream, shape: Sequence[int], *, device: torch.device | str | None = None
    ) -> Tensor:
        z = stream.normal(shape, device=device)
        (low, high), flat = self.bounds, z.view(-1)
        if low > -_LARGEST_NORMAL or high < _LARGEST_NORMAL:
            _redraw(flat, low, high, stream)
        for piece in torch.split(flat, _AT_ONCE):
            self.transform(piece)
        return z


def _redraw(z: Tensor, low: float, high: float, stream: Stream) -> None:
    """Replace what lies outside [low, high] by the same element's next draw inside."""
    if not z.numel() or (z.min() >= low and z.max() <= high):
        return
    outside = ((z < low) | (z > high)).nonzero().squeeze(1)
    round = 0
    while outside.numel():
        round += 1
        fresh = stream.normal(outside.shape, round=round, elements=outside)
        z[outside] = fresh
        outside = outside[(fresh < low) | (fresh > high)]


@dataclass(frozen=True)
class Normal(_Truncated):
    """Normal with `mean` and `std` before truncation to `[min, max]`."""

    name = "normal"
    mean: float
    std: float
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        self._require("mean")
        self._require("std", at_least=0)
        self._validate(self.min, self.max)

    @property
    def nominal(self) -> float:
        return self.mean

    @property
    def bounds(self) -> tuple[float, float]:
        return (
            _standard(self.min, self.mean, self.std, -math.inf),
            _standard(self.max, self.mean, self.std, math.inf),
        )

    def transform(self, z: Tensor) -> Tensor:
        return _inside(z.mul_(self.std).add_(self.mean), self.min, self.max)


@dataclass(frozen=True)
class LogNormal(_Truncated):
    """Log-normal: `ln(value)` is normal about `ln(median)` with standard deviation `sigma`."""

    name = "lognormal"
    median: float
    sigma: float
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        self._require("median", above=0)
        self._require("sigma", at_least=0)
        self._validate(self.min, self.max)

    @property
    def nominal(self) -> float:
        return self.median

    @property
    def bounds(self) -> tuple[float, float]:
        center = math.log(self.median)
        low = None if self.min is None else _log(self.min)
        high = None if self.max is None else _log(self.max)
        return (
            _standard(low, center, self.sigma, -math.inf),
            _standard(high, center, self.sigma, math.inf),
        )

    def transform(self, z: Tensor) -> Tensor:
        return _inside(z.mul_(self.sigma).exp_().mul_(self.median), self.min, self.max)


@dataclass(frozen=True)
class Uniform(Distribution):
    """Equally likely between `min` and `max`."""

    name = "uniform"
    min: float
    max: float

    def __post_init__(self) -> None:
        self._require("min")
        self._require("max")
        if not self.min <= self.max:
            raise ConfigError(f"{self!r}; expected min <= max")

    @property
    def nominal(self) -> float:
        return 0.5 * (self.min + self.max)

    def sample(
        self, stream: Stream, shape: Sequence[int], *, device: torch.device | str | None = None
    ) -> Tensor:
        return stream.uniform(shape, device=device).mul_(self.max - self.min).add_(self.min)


@dataclass(frozen=True)
class Empirical(Distribution):
    """The distribution of measured values, without a form.

    A draw is a quantile of the values with a probability that is uniform: at ascending values v_k,
    k = 0 to n - 1, the cumulative probability is k / (n - 1), on a straight line in between, as
    `numpy.quantile` has it.
    """

    name = "empirical"
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        given: Any = self.values
        if isinstance(given, Tensor) and _check.is_plain(given) and given.dim() == 1:
            given = tuple(given.tolist())
        if not isinstance(given, list | tuple) or len(given) < 2:
            raise ConfigError(
                f"values of Empirical={shown(self.values)}; expected a list of two numbers or more"
            )
        values = sorted(_check.number("values of Empirical", value) for value in given)
        object.__setattr__(self, "values", tuple(values))

    @property
    def nominal(self) -> float:
        """The median."""
        last = len(self.values) - 1
        return 0.5 * (self.values[last // 2] + self.values[(last + 1) // 2])

    def sample(
        self, stream: Stream, shape: Sequence[int], *, device: torch.device | str | None = None
    ) -> Tensor:
        place = stream.uniform(shape, device=device).mul_(len(self.values) - 1)
        below = place.long().clamp_(max=len(self.values) - 2)
        table = torch.tensor(self.values, dtype=torch.float32, device=place.device)
        return torch.lerp(table[below], table[below + 1], place.sub_(below))


def _is_bound(value: Any) -> bool:
    fits = isinstance(value, Real) and _check.is_number(value)
    return fits and (abs(value) <= _check.LARGEST or math.isinf(value))


def _inside(x: Tensor, low: float | None, high: float | None) -> Tensor:
    """Take back what rounding carried across a bound."""
    if low is None and high is None:
        return x
    return x.clamp_(None if low is None else float(low), None if high is None else float(high))


def _standard(bound: float | None, center: float, spread: float, default: float) -> float:
    """A bound relative to the centre, in units of the standard deviation."""
    if bound is None:
        return default
    distance = bound - center
    return distance / spread if spread > 0 else math.copysign(math.inf, distance or default)


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


DISTRIBUTIONS: dict[str, type[Distribution]] = {
    kind.name: hinted(kind) for kind in (Normal, LogNormal, Uniform, Empirical)
}
