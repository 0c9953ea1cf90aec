"""Which plugins, of which version and from where, a network or a configuration uses."""

from typing import Any

from torch import nn

from memcore.contracts.contract import Contract
from memcore.crossbar.config import CrossbarConfig
from memcore.nn.walk import unique_layers, unique_matrices
from memcore.registry.provenance import provenance_of, provenance_of_layer


def provenance(model: nn.Module) -> list[dict[str, Any]]:
    """Every plugin that a converted network uses: name, distribution, version, origin, parameters.

    Args:
        model: a converted network.
    """
    entries = [
        entry
        for matrix in unique_matrices(model)
        for entry in config_provenance(matrix.crossbar.config)
    ]
    entries += [provenance_of_layer(type(layer)) for layer in unique_layers(model)]
    return list({repr(entry): entry for entry in entries}.values())


def config_provenance(config: CrossbarConfig) -> list[dict[str, Any]]:
    """Every plugin that a `CrossbarConfig` uses, as `provenance` tells them."""
    first: tuple[Contract | None, ...] = (config.device, config.mapper, config.programmer)
    plugins = (*first, *config.nonidealities, config.dac, config.adc)
    lanes = ((lane.device, *lane.nonidealities, lane.adc) for lane in config.lanes)
    every = (*plugins, *(plugin for lane in lanes for plugin in lane))
    return [provenance_of(plugin) for plugin in every if plugin is not None]
