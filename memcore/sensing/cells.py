"""Cells of the values 0 and 1, as a configuration writes and reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memcore.contracts.array import ArrayInfo
from memcore.contracts.device import Memristor
from memcore.contracts.distributions import Distribution
from memcore.contracts.effect import NonIdeality
from memcore.contracts.forms import Affine, Lookup, Steady, UniformLevels
from memcore.contracts.mapper import Mapped, Mapper, Part
from memcore.contracts.parameters import parameter
from memcore.contracts.records import Context, Stage
from memcore.crossbar.cells import Cells, Written
from memcore.crossbar.clock import Clock
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.effects import is_off
from memcore.crossbar.lane import sequence
from memcore.errors import ConfigError
from memcore.random import Stream
from memcore.registry.specs import PluginSpec
from memcore.sensing.even import EvenStream


@dataclass(frozen=True, kw_only=True)
class Told(Mapper):
    """Weights that are target conductances already."""

    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        del device, ctx
        return Mapped(parts=(Part(target=weight),), gain=weight.new_ones(1))


@dataclass(frozen=True, kw_only=True)
class Spread(NonIdeality):
    """Each resistance is multiplied by a factor of its own."""

    stage = Stage.PROGRAM

    factor: Distribution = parameter(None, "1", "distribution of the factor")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        factor = self.factor.sample(ctx.random, array.shape, device=ctx.torch_device)
        return Affine(gain=1 / factor)


def configured(
    device: PluginSpec,
    nonidealities: Sequence[PluginSpec],
    spread: Distribution | None,
    read_voltage: float,
    temperature: float,
    without: Sequence[str] = (),
) -> CrossbarConfig:
    """How cells of the values 0 and 1 are written and read.

    Raises:
        ConfigError: something does not fit, or couples cells or lines with each other.
    """
    if spread is not None and not isinstance(spread, Distribution):
        raise ConfigError(
            f"spread={spread!r}; expected a distribution of the factor of each resistance, "
            "memcore.LogNormal(1.0, 0.2) say, or None"
        )
    effects = [*sequence("nonidealities", nonidealities)]
    config = CrossbarConfig(
        device=device,
        mapper=Told(),
        nonidealities=effects if spread is None else [*effects, Spread(factor=spread)],
        without=without,
        tile=None,
        read_voltage=read_voltage,
        temperature=temperature,
    )
    for name, effect in config.effects.items():
        if effect.stage in (Stage.MVM, Stage.CURRENT) and not is_off(effect):
            raise ConfigError(
                f"{name!r} acts on the currents of whole lines; expected effects of single cells, "
                "as sums of independent currents are sensed: leave it out"
            )
    return config


class Ends(NamedTuple):
    """Nominal conductances of a 0 and of a 1 in S."""

    low: float
    high: float

    @classmethod
    def of(cls, config: CrossbarConfig) -> "Ends":
        """Those of the device of a configuration."""
        return cls(*config.device.nominal_range())


def written(config: CrossbarConfig, target: Tensor, stream: Stream) -> tuple[Written, Clock]:
    """What is written for targets [rows, cols] S, and the clock that starts with it."""
    cells = Cells(config, stream, "the cells", torch.device("cpu"))
    cells.clock.rewrite(config.temperature)
    return cells.written(target.unsqueeze(0), writes=0), cells.clock


def even_conductances(config: CrossbarConfig, target: float, count: int) -> Tensor:
    """Conductances of `count` equally likely cells at a read, float64 [count] S."""
    stream = EvenStream(0, cells=count)
    result, clock = written(config, torch.full((count, 1), target, device="cpu"), stream)
    (effects,) = result.effects.each
    effects.settled(result.conductance, clock)  # noise of a read takes note of what it finds
    g = effects.aged(result.conductance, clock)
    for index, form in enumerate(effects.reading):
        if isinstance(form, Affine | UniformLevels | Lookup | Steady):
            g = form(g)
        else:
            noisy: Tensor = form(g.unsqueeze(0), stream.reading(f"effect {index}"))
            g = noisy[0]
    return g.flatten().double()
