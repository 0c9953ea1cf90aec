"""The provider of a plugin, and the parameters with which it is used."""

from typing import Any

from memcore.contracts.contract import Contract
from memcore.registry.instances import registries
from memcore.registry.specs import plain, provided_name


def provenance_of(plugin: Contract) -> dict[str, Any]:
    """The kind, name, distribution, version, origin and parameters of a plugin instance."""
    name = provided_name(plugin)
    registry = registries()[plugin.kind]
    values = plain(plugin)
    values.pop("name")
    if name not in registry:
        return {"kind": plugin.kind, "name": name, "parameters": values}
    provider = registry.provider(name)
    return {
        "kind": plugin.kind,
        "name": name,
        "distribution": provider.distribution,
        "version": provider.version,
        "origin": provider.origin,
        "parameters": values,
    }
