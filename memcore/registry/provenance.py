"""Who provides a plugin, and with which parameters it is used."""

from typing import Any

from memcore.contracts.contract import Contract
from memcore.contracts.layer import Layer
from memcore.registry.instances import registries
from memcore.registry.specs import plain, provided_name


def provenance_of(plugin: Contract) -> dict[str, Any]:
    """Kind, name, distribution, version, origin and parameters of a plugin instance."""
    values = plain(plugin)
    values.pop("name")
    return _entry(plugin.kind, provided_name(plugin), values)


def provenance_of_layer(layer: type[Layer]) -> dict[str, Any]:
    """The same of the class of a layer, which has no parameters of its own."""
    target = f"{layer.__module__}:{layer.__qualname__}"
    providers = registries()["layers"].providers()
    name = next((each.name for each in providers if each.target == target), target)
    return _entry("layers", name, {})


def _entry(kind: str, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    registry = registries()[kind]
    if name not in registry:
        return {"kind": kind, "name": name, "parameters": parameters}
    provider = registry.provider(name)
    return {
        "kind": kind,
        "name": name,
        "distribution": provider.distribution,
        "version": provider.version,
        "origin": provider.origin,
        "parameters": parameters,
    }
