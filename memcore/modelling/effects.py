"""What effects of cells have in common: draws of a life or of a write, and errors of writing."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore.contracts.array import ArrayInfo
from memcore.contracts.distributions import Distribution
from memcore.contracts.effect import NonIdeality
from memcore.contracts.forms import Gaussian
from memcore.contracts.parameters import Parameter, parameter
from memcore.contracts.records import Context, Stage
from memcore.errors import ConfigError
from memcore.modelling.statistical import Statistical, require_inside


def drawn(
    value: Parameter, name: str, array: ArrayInfo, ctx: Context, *, above: float | None = None
) -> Tensor:
    """A parameter as a tensor: one number, or a draw for each cell if it is a distribution.

    Args:
        value: of the parameter.
        name: of the parameter; draws of different names are independent.
        array: the arrays, whose shape the draw has.
        ctx: of the `bind` that asks; the draw is the same for a chip's life.
        above: what every cell must draw more than, if anything.

    Returns:
        [] float64, which takes on the precision of what it is combined with, or
        [arrays, rows, cols] float32.

    Raises:
        ConfigError: some cells drew too little.
    """
    if isinstance(value, Distribution):
        sample = value.sample(ctx.random.child(name), array.shape, device=ctx.torch_device)
        wrong = 0 if above is None or sample.is_meta else int((~(sample > above)).sum())
        if wrong:
            raise ConfigError(
                f"{wrong} of {sample.numel()} cells drew {name} outside its range from {value!r}; "
                f"expected > {above:g}: give the distribution a min"
            )
        return sample
    if not isinstance(value, Tensor) or not value.dim():
        return torch.as_tensor(value, dtype=torch.float64, device=ctx.torch_device)
    try:
        return value.to(ctx.torch_device, torch.float32).expand(array.shape)
    except RuntimeError:
        raise ConfigError(
            f"{name} has shape {list(value.shape)}; expected one that broadcasts to the cells, "
            f"{list(array.shape)}"
        ) from None


def per_write(ctx: Context) -> Context:
    """The context for what every write draws anew, where `ctx` itself is for a chip's life."""
    return ctx.child("write", ctx.writes)


def normal_per_write(array: ArrayInfo, ctx: Context) -> Tensor:
    """A standard normal draw for each cell, [arrays, rows, cols], new with every write."""
    return per_write(ctx).random.normal(array.shape, device=ctx.torch_device)


class Scattered(nn.Module):
    """A programming error that was drawn once: `max(g + std(g) z, 0)`, so that cells stay passive.

    Args:
        z: standard normal, [arrays, rows, cols].
        std: from targets in S to standard deviations in S.
        limits: lowest and highest target for which `std` was fitted, S.
        who: whom a message about targets outside names.
    """

    z: Tensor

    def __init__(
        self, z: Tensor, std: Callable[[Tensor], Tensor], limits: tuple[float, float], who: str
    ) -> None:
        super().__init__()
        self.register_buffer("z", z)
        self.std = std
        self.limits = limits
        self.who = who

    def forward(self, g: Tensor) -> Tensor:
        """Conductances after writing."""
        require_inside(g, *self.limits, self.who)
        return (g + self.std(g) * self.z.to(g.dtype)).clamp(min=0)


@dataclass(frozen=True, kw_only=True)
class ProgrammingError(NonIdeality):
    """The error of a write, new with every write: normal with the `programming_std` of the cells.

    A device returns it from `effects()`. Give each device a subclass of its own, whose name is the
    name of the effect in reports:

    For example::

        @dataclass(frozen=True, kw_only=True)
        class MyCellProgramming(ProgrammingError):
            \"\"\"What write-verify leaves.\"\"\"
    """

    stage = Stage.PROGRAM
    cell: Statistical = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        z = normal_per_write(array, ctx)
        cell = self.cell
        return Scattered(z, cell.programming_std, cell.fitted_range, type(cell).__name__)


class Trajectory(nn.Module):
    """Conductances that each follow a path of their own in time.

    Args:
        z: standard normal, [arrays, rows, cols], one draw for all times.
        after: from conductances in S as programmed, targets in S, seconds since then [] and z to
            conductances in S.
        target: targets in S, [arrays, rows, cols]; None takes what was programmed for them.
    """

    z: Tensor
    target: Tensor | None

    def __init__(
        self,
        z: Tensor,
        after: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
        target: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("z", z)
        self.register_buffer("target", target, persistent=False)  # the cells keep it
        self.after = after

    def forward(self, g: Tensor, seconds: Tensor) -> Tensor:
        """Conductances after `seconds`."""
        target = g if self.target is None else self.target.to(g.dtype)
        return self.after(g, target, seconds, self.z.to(g.dtype))


class NoisyRead(Gaussian):
    """Noise of reads, drawn independently for every read.

    Args:
        std: from conductances in S and seconds since programming [] to standard deviations in S.
    """

    def __init__(self, std: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.of_read = std

    def variance(self, x: Tensor) -> Tensor:
        return self.of_read(x, self.seconds).square()


@dataclass(frozen=True, kw_only=True)
class Relaxation(NonIdeality):
    """What becomes of a write: the path `aged` of each cell, new with every write.

    Subclass it like `ProgrammingError`. Statistics of ageing are published against the target of a
    cell rather than where a write left it, so `aged` gets both; a subclass whose device looks up no
    target sets `needs_target = False`, which saves a tensor.
    """

    stage = Stage.AGE
    needs_target = True
    cell: Statistical = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        target = array.target if self.needs_target else None
        return Trajectory(normal_per_write(array, ctx), self.cell.aged, target)


@dataclass(frozen=True, kw_only=True)
class CellReadNoise(NonIdeality):
    """Noise of reads with the `read_std` of the cells; reads are drawn independently.

    Subclass it like `ProgrammingError`.
    """

    stage = Stage.READ
    cell: Statistical = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        del array, ctx
        return NoisyRead(self.cell.read_std)
