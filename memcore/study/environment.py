"""What decides the figures besides the study file: versions, and the plugins behind the names."""

from collections.abc import Iterable
from typing import Any

from memcore._version import __version__
from memcore.crossbar.config import CrossbarConfig
from memcore.registry.instances import registries
from memcore.registry.provenance import provenance_of
from memcore.registry.specs import PluginSpec, plugin
from memcore.report.provenance import config_provenance
from memcore.study import sources
from memcore.study.compressing import Compression
from memcore.study.files import digest_json
from memcore.study.in_place import InPlace


def plugins(configs: Iterable[CrossbarConfig]) -> list[dict[str, Any]]:
    """The plugins that the points use, each with its name, provider, version and origin.

    `code` is a hash of the file that holds the plugin and of those of its package that it imports,
    so that results of a plugin under development are never mixed with those of its earlier text.
    """
    used: dict[tuple[str, str], dict[str, Any]] = {}
    for config in configs:
        for entry in config_provenance(config):
            key = (entry["kind"], entry["name"])
            if key not in used:
                used[key] = _described(entry)
    return [used[key] for key in sorted(used)]


def rules(recipes: Iterable[InPlace | None]) -> list[dict[str, Any]]:
    """The update rules by which chips are trained in place, as `plugins` tells of the others."""
    return _used("updates", (recipe.rule for recipe in recipes if recipe is not None))


def passes(recipes: Iterable[Compression | None]) -> list[dict[str, Any]]:
    """The passes by which the network is compressed, likewise."""
    specs = (spec for recipe in recipes if recipe is not None for spec in recipe.passes)
    return _used("compressions", specs)


def _used(kind: str, specs: Iterable[PluginSpec]) -> list[dict[str, Any]]:
    described = (_described(provenance_of(plugin(kind, spec))) for spec in specs)
    used = {each["name"]: each for each in described}
    return [used[name] for name in sorted(used)]


def versions() -> dict[str, str]:
    """The versions of memcore and torch."""
    import torch

    return {"memcore": __version__, "torch": str(torch.__version__)}


def _described(entry: dict[str, Any]) -> dict[str, Any]:
    about = {key: value for key, value in entry.items() if key != "parameters"}
    registry = registries()[entry["kind"]]
    if entry["name"] not in registry:
        return {"distribution": "", "version": "", **about, "code": ""}
    return {**about, "code": _code(registry[entry["name"]])}


def _code(plugin: type) -> str:
    texts = sources.reached(plugin.__module__)
    return digest_json(texts) if texts else ""  # written in a notebook or at the prompt
