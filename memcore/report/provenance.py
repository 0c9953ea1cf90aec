"""Which plugins, of which version and from where, a network or a configuration uses."""

from typing import Any

from torch import nn

from memcore.contracts.contract import Contract
from memcore.crossbar.config import CrossbarConfig
from memcore.nn.walk import crossbar_layers
from memcore.registry.provenance import provenance_of


def provenance(model: nn.Module) -> list[dict[str, Any]]:
    """Every plugin that a converted network uses: name, distribution, version, origin, parameters.

    Args:
        model: a converted network.
    """
    found: dict[str, dict[str, Any]] = {}
    for layer in crossbar_layers(model).values():
        for entry in config_provenance(layer.crossbar.config):
            found.setdefault(repr(entry), entry)
    return list(found.values())


def config_provenance(config: CrossbarConfig) -> list[dict[str, Any]]:
    """Every plugin that a `CrossbarConfig` uses, as `provenance` tells them."""
    plugins: list[Contract] = [
        config.device,
        config.mapper,
        config.programmer,
        *config.nonidealities,
    ]
    plugins += [converter for converter in (config.dac, config.adc) if converter is not None]
    return [provenance_of(plugin) for plugin in plugins]
