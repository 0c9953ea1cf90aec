"""Which plugins, of which version and from where, a network or a configuration uses."""

from typing import Any

from torch import nn

from memcore.contracts.contract import Contract
from memcore.crossbar.config import CrossbarConfig
from memcore.nn.walk import unique_matrices
from memcore.registry.provenance import provenance_of


def provenance(model: nn.Module) -> list[dict[str, Any]]:
    """Every plugin that a converted network uses: name, distribution, version, origin, parameters.

    Args:
        model: a converted network.
    """
    found: dict[str, dict[str, Any]] = {}
    for matrix in unique_matrices(model):
        for entry in config_provenance(matrix.crossbar.config):
            found.setdefault(repr(entry), entry)
    return list(found.values())


def config_provenance(config: CrossbarConfig) -> list[dict[str, Any]]:
    """Every plugin that a `CrossbarConfig` uses, as `provenance` tells them."""
    first: tuple[Contract | None, ...] = (config.device, config.mapper, config.programmer)
    plugins = (*first, *config.nonidealities, config.dac, config.adc)
    return [provenance_of(plugin) for plugin in plugins if plugin is not None]
