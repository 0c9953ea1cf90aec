"""The same chip with other effects: what a diagnosis compares."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from memcore.contracts.layer import Layer
from memcore.crossbar.config import CrossbarConfig
from memcore.nn.reconfigured import reconfigured
from memcore.nn.walk import replace_module
from memcore.report.summary import device_effect


def with_effects(layer: Layer, keep: set[str]) -> Layer:
    """The same layer on the same chip, with only some of its effects."""

    def changed(config: CrossbarConfig) -> CrossbarConfig:
        told = "adc" in keep and config.adc is not None and config.adc.counts_open
        return config.replace(
            device=config.device if device_effect(config) in keep else config.device.nominal(),
            without=(*config.without, *(name for name in config.effects if name not in keep)),
            dac=config.dac if "dac" in keep or told else None,  # which opens the word lines
            adc=config.adc if "adc" in keep else None,
        )

    return reconfigured(layer, changed)


def with_exact(layer: Layer, name: str) -> Layer | None:
    """The same layer with the exact form of an effect, None if it has no approximate one."""
    acts = False

    def changed(config: CrossbarConfig) -> CrossbarConfig:
        nonlocal acts
        effect = config.effects.get(name)
        exact = None if effect is None else effect.exact()
        if exact is None:
            return config
        acts = True
        others = (exact if each is effect else each for each in config.nonidealities)
        return config.replace(nonidealities=tuple(others))

    exact = reconfigured(layer, changed)
    return exact if acts else None


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
