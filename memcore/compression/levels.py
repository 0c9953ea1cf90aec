"""Weights that cells can hold: the mapping of a configuration, and the states of its cells."""

import dataclasses
import math

import torch
from torch import Tensor

from memcore._tensor import as_tensor
from memcore.contracts.array import ArrayInfo
from memcore.contracts.effect import NonIdeality
from memcore.contracts.mapper import Mapped
from memcore.contracts.records import Context
from memcore.contracts.settings import ArraySettings
from memcore.crossbar.mapping import mapping
from memcore.errors import ConfigError
from memcore.random import Stream


def states(config: ArraySettings) -> int | None:
    """How many magnitudes the cells of a weight can hold, None where nothing says so.

    The states of one cell, and of several cells, which hold the slices of a weight, all
    combinations.
    """
    if not all(map(_states, config.of_lanes or (config,))) or config.mapper is None:
        return None
    ctx = Context(random=Stream(0), temperature=config.temperature)
    lanes = mapping(config, torch.ones(1, 1, 1, device="cpu"), ctx).lanes
    every = config.of_lanes or (config,) * lanes
    return math.prod(min(_states(each)) for each in every)


def nearest_levels(matrix: Tensor, config: ArraySettings) -> Tensor:
    """The weights that are left when each cell takes the nearest of its states.

    The weights go the way of a configuration: through its mapper, to the states of nominal cells,
    and back by the gain of the mapping. Weights that are zero stay so: they need no cell.

    Args:
        matrix: [groups, outputs, inputs].
        config: arrays whose cells have a finite number of states.

    Raises:
        ConfigError: nothing in the configuration says which states there are, or it has no mapper.
    """
    if config.mapper is None:
        raise ConfigError(
            "the configuration has no mapper; expected one, which says how weights lie"
        )
    ctx = Context(random=Stream(0), temperature=config.temperature)
    mapped = mapping(config, matrix.detach().transpose(1, 2), ctx)
    if not _finite(config) and not bool(as_tensor(mapped.step).any()):
        raise ConfigError(
            "the configuration names no states of cells; expected a mapper that rounds, or the "
            "effect finite_states among the nonidealities: "
            'nonidealities=[{"name": "finite_states", "states": 16}]'
        )
    parts = []
    for part in mapped.parts:
        g = part.target
        own = config.of_lanes[part.lane] if config.lanes else config
        nominal = own.device.nominal()
        array = ArrayInfo(
            arrays=g.shape[0], rows=g.shape[1], cols=g.shape[2], device=nominal, nominal=nominal
        )
        for effect in _finite(own):
            g = effect.bind(array, ctx)(g)
        parts.append(dataclasses.replace(part, target=g))
    held = Mapped(parts=tuple(parts), gain=mapped.gain).weight().transpose(1, 2)
    return torch.where(matrix == 0, matrix, held.to(matrix.dtype))


def _states(config: ArraySettings) -> list[int]:
    """The numbers of states that effects give cells of one kind."""
    return [int(effect.states) for effect in _finite(config)]  # type: ignore[attr-defined]


def _finite(config: ArraySettings) -> list[NonIdeality]:
    """The effects that give cells a number of states."""
    return [
        effect
        for effect in config.effects.values()
        if isinstance(getattr(effect, "states", None), int) and hasattr(effect, "uniform_in")
    ]
