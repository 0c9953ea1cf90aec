"""The same chip with other effects: what a diagnosis compares."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from memcore.contracts.effect import NonIdeality
from memcore.contracts.layer import Layer
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.lane import Lane
from memcore.crossbar.writings import Writings
from memcore.nn.reconfigured import reconfigured
from memcore.nn.walk import matrices, replace_module
from memcore.report.summary import device_effect


def with_effects(
    layer: Layer, keep: frozenset[str] | set[str], writings: Writings | None = None
) -> Layer:
    """The same layer on the same chip, with only some of its effects.

    Args:
        layer: the layer, which stays as it is.
        keep: names of the effects.
        writings: what other variants of this chip hold.
    """

    def changed(config: CrossbarConfig) -> CrossbarConfig:
        told = "adc" in keep and config.adc is not None and config.adc.counts_open
        spreads = device_effect(config) in keep
        return config.replace(
            device=config.device if spreads else config.device.nominal(),
            without=(*config.without, *(name for name in config.effects if name not in keep)),
            dac=config.dac if "dac" in keep or told else None,  # which opens the word lines
            adc=config.adc if "adc" in keep else None,
            lanes=tuple(_lane(lane, spreads, "adc" in keep) for lane in config.lanes),
        )

    return reconfigured(layer, changed, writings)


def _lane(lane: Lane, spreads: bool, converts: bool) -> Lane:
    """A lane whose cells are all alike, or which has no ADC, unless it is to have."""
    device = lane.device if spreads or lane.device is None else lane.device.nominal()
    return dataclasses.replace(lane, device=device, adc=lane.adc if converts else None)


def with_exact(layer: Layer, name: str) -> Layer | None:
    """The same layer with the exact form of an effect, None if it has no approximate one."""
    configs = (matrix.crossbar.config for matrix in matrices(layer).values())
    if all(_exact(config, name) is None for config in configs):
        return None

    def changed(config: CrossbarConfig) -> CrossbarConfig:
        exact = _exact(config, name)
        if exact is None:
            return config
        effect = config.effects[name]

        def others(effects: tuple[NonIdeality, ...]) -> tuple[NonIdeality, ...]:
            return tuple(exact if each is effect else each for each in effects)

        lanes = (
            dataclasses.replace(lane, nonidealities=others(lane.nonidealities))
            for lane in config.lanes
        )
        return config.replace(nonidealities=others(config.nonidealities), lanes=tuple(lanes))

    return reconfigured(layer, changed)


def _exact(config: CrossbarConfig, name: str) -> NonIdeality | None:
    """The exact form of an effect of a configuration."""
    effect = config.effects.get(name)
    return None if effect is None else effect.exact()


@contextmanager
def swapped(model: nn.Module, layers: Mapping[str, nn.Module]) -> Iterator[nn.Module]:
    """The model with other layers in some places, for a while."""
    before = {name: model.get_submodule(name) for name in layers}
    root = model
    try:
        for name, layer in layers.items():
            root = replace_module(root, name, layer)
        yield root
    finally:
        for name, layer in before.items():
            replace_module(model, name, layer)
