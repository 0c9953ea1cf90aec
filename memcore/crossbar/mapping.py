"""Weights as parts: each lane on the window of its own device, in as many copies as it has."""

import dataclasses

import torch
from torch import Tensor

from memcore.contracts.mapper import Mapped, Mapper, Part
from memcore.contracts.records import Context
from memcore.contracts.settings import ArraySettings
from memcore.errors import ConfigError


def mapping(config: ArraySettings, weight: Tensor, ctx: Context) -> Mapped:
    """The parts that stand for weights as a configuration with a mapper says.

    Args:
        config: the configuration.
        weight: [groups, rows, cols].
        ctx: of the mapper.

    Raises:
        ConfigError: the mapping has more or fewer lanes than the configuration says.
    """
    mapper = config.mapper
    assert mapper is not None
    first = mapper.map(weight, config.devices[0].nominal(), ctx)
    if not config.lanes:
        return first
    if first.lanes != len(config.lanes):
        raise ConfigError(
            f"lanes has {len(config.lanes)} entries, but the mapping has {first.lanes} lanes; "
            "expected one entry for each, the lowest slice first"
        )
    return _together(config, _of_devices(config, mapper, first, weight, ctx))


def _of_devices(
    config: ArraySettings, mapper: Mapper, first: Mapped, weight: Tensor, ctx: Context
) -> list[Mapped]:
    """The whole mapping onto the device of each lane; one for all lanes with the same device."""
    known = {id(config.devices[0]): first}
    for device in config.devices:
        if id(device) not in known:
            known[id(device)] = mapper.map(weight, device.nominal(), ctx)
    return [known[id(device)] for device in config.devices]


def _together(config: ArraySettings, mapped: list[Mapped]) -> Mapped:
    """Each lane of its own mapping, one lane behind the other."""
    parts, gains = [], []
    for number, (lane, each) in enumerate(zip(config.lanes, mapped, strict=True)):
        own = [part for part in each.parts if part.lane == number]
        parts += [_copied(part, copy) for copy in range(lane.copies) for part in own]
        gains.append(each.gain[number] / lane.copies)
    return Mapped(parts=tuple(parts), gain=torch.stack(gains), step=mapped[0].step)


def _copied(part: Part, copy: int) -> Part:
    return part if copy == 0 else dataclasses.replace(part, copy=copy)
