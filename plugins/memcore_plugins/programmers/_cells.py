"""Some of the cells of an array: their parameters, and draws that stay their own."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from memcore import ArrayInfo, Context, Gaussian, Memristor, Stream


@dataclass(frozen=True)
class CellStream(Stream):
    """The draws of some cells, the same whichever other cells are asked along with them.

    Args:
        cells: int64 [n], numbers of the cells in the arrays.
    """

    cells: Tensor | None = field(default=None, compare=False, repr=False)

    def child(self, *names: str | int) -> "CellStream":
        return CellStream(self.seed, (*self.path, *map(str, names)), self.cells)

    def uniform(self, shape: Sequence[int], **options: Any) -> Tensor:
        return super().uniform(shape, **self._of_cells(shape, options))

    def normal(self, shape: Sequence[int], **options: Any) -> Tensor:
        return super().normal(shape, **self._of_cells(shape, options))

    def bernoulli(
        self, p: float, shape: Sequence[int], *, device: torch.device | str | None = None
    ) -> Tensor:
        return self.uniform(shape, device=device) < p

    def _of_cells(self, shape: Sequence[int], options: dict[str, Any]) -> dict[str, Any]:
        if self.cells is None or math.prod(shape) != self.cells.numel():
            return options
        return {"elements": self.cells, **options}


def of_cells(ctx: Context, cells: Tensor, *names: str | int) -> Context:
    """A context whose draws are those of the numbered cells."""
    random = CellStream(ctx.random.seed, (*ctx.random.path, *map(str, names)), cells.flatten())
    return dataclasses.replace(ctx, random=random)


class Cells(Protocol):
    """What routines ask of a device."""

    def conductance(self, state: Tensor) -> Tensor:
        """S."""

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        """A."""

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        """The state after a pulse."""


@dataclass(frozen=True)
class WithStuck:
    """Cells of which some do not move.

    Args:
        device: the others.
        at: S, what each stuck cell conducts, NaN for the others.
    """

    device: Memristor
    at: Tensor

    def conductance(self, state: Tensor) -> Tensor:
        """Of the stuck cells theirs."""
        return self._unless(self.device.conductance(state), self.at)

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        """Stuck cells are ohmic."""
        stuck = self.at.nan_to_num(0.0) * voltage  # NaN would spread through the gradient
        return self._unless(self.device.current(state, voltage), stuck)

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        """Stuck cells stay."""
        return self._unless(self.device.step(state, voltage, dt, ctx), state)

    def _unless(self, moving: Tensor, stuck: Tensor) -> Tensor:
        return torch.where(self.at.isnan(), moving, stuck.to(moving.dtype))


class CellParameters:
    """The parameters that differ between the cells of an array, ready to pick some cells.

    Args:
        array: with the cells drawn.
        shape: how the cells are laid out here, of as many elements as the array has.
    """

    def __init__(self, array: ArrayInfo, shape: Sequence[int]) -> None:
        self.device = array.device
        self.values = {
            name: value.expand(array.shape).reshape(tuple(shape))
            for name, value in _drawn(array).items()
        }
        self.stuck = None if array.stuck is None else array.stuck.reshape(tuple(shape))

    def pick(self, cells: Tensor | slice) -> Cells:
        """The device of some cells, chosen along the last dimension."""
        device = self.device
        if self.values:
            picked = {name: value[..., cells] for name, value in self.values.items()}
            device = dataclasses.replace(device, **picked)  # type: ignore[type-var]
        return device if self.stuck is None else WithStuck(device, self.stuck[..., cells])


def beginning(array: ArrayInfo, like: Tensor, ctx: Context) -> Tensor:
    """The state in which writing finds the cells: that of `array.present`, or fresh."""
    if array.present is None:
        state = array.device.initial_state(array.shape, ctx.child("initial"))
    else:
        state = array.device.state_of(array.present).clone()
    return state.to(like).expand(-1, *array.shape)


def _drawn(array: ArrayInfo) -> dict[str, Tensor]:
    """Tensors that hold a value per cell; others are tables, which all cells share."""
    nominal = array.nominal
    return {
        entry.name: value
        for entry in dataclasses.fields(array.device)  # type: ignore[arg-type]
        if isinstance(value := getattr(array.device, entry.name), Tensor)
        and (value.dim() == len(array.shape) or value is not getattr(nominal, entry.name))
    }


class Reader(Protocol):
    """A routine that reads cells."""

    @property
    def read_voltage(self) -> float | None:
        """In V; None for that of the config."""

    @property
    def read_time(self) -> float:
        """In s."""


def read_energy(how: Reader, array: ArrayInfo, g: Tensor) -> Tensor:
    """J of one read of cells that conduct `g` siemens."""
    volts = array.read_voltage if how.read_voltage is None else how.read_voltage
    return volts**2 * how.read_time * g


class Reads:
    """Noise of the verify reads.

    Args:
        array: whose noise is taken if no other is given.
        relative: standard deviation as a share of the conductance, None if it is not given.
        std: S, the same, not depending on the conductance.
    """

    def __init__(self, array: ArrayInfo, relative: float | None, std: float | None) -> None:
        self.array = array
        given = None if relative is None and std is None else (relative or 0.0, std or 0.0)
        #: Relative and absolute deviation if all cells have the same ones.
        self.same = _same_noise(array.noises) if given is None else given
        #: Whether reads are noisy at all.
        self.noisy = self.same is None or any(self.same)

    def sigma(self, g: Tensor, cells: Tensor) -> Tensor | float:
        """Standard deviation of a read of some cells, numbered as in the arrays, S."""
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
        """What one read of the cells finds, S."""
        return g + sigma * self.draw(g, ctx, cells) if self.noisy else g

    def draw(self, like: Tensor, ctx: Context, cells: Tensor) -> Tensor:
        """Noise of one read, in standard deviations."""
        stream = CellStream(ctx.random.seed, ctx.random.path, cells.flatten())
        return stream.normal(like.shape, device=like.device, dtype=like.dtype)


def _same_noise(noises: Sequence[Gaussian]) -> tuple[float, float] | None:
    """Relative and absolute deviation of the sum, None if cells have noise of their own."""
    plain = [noise for noise in noises if type(noise) is Gaussian]
    if len(plain) < len(noises) or any(n.std.numel() * n.relative.numel() != 1 for n in plain):
        return None
    relative, std = ([float(getattr(n, of)) for n in plain] for of in ("relative", "std"))
    return math.hypot(*relative), math.hypot(*std)
