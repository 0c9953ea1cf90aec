"""What besides the study file decides the figures: versions, and the plugins behind the names."""

import hashlib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import memcore
from memcore._version import __version__
from memcore.config import CrossbarConfig


def plugins(configs: Iterable[CrossbarConfig]) -> list[dict[str, Any]]:
    """Each plugin that the points use: its name, who provides it, which version, from where.

    `code` is a hash of the file that holds the plugin, so that results of a plugin under
    development are never mixed with those of its earlier text.
    """
    used = {plugin for config in configs for plugin in _classes(config)}
    found = [_provenance(plugin) for plugin in used]
    return sorted(found, key=lambda entry: (entry["kind"], entry["name"], entry["distribution"]))


def versions() -> dict[str, str]:
    """Of what computes: memcore and torch."""
    import torch

    return {"memcore": __version__, "torch": str(torch.__version__)}


def _classes(config: CrossbarConfig) -> Iterator[type]:
    single = (config.device, config.mapper, config.programmer, config.dac, config.adc)
    for plugin in (*single, *config.nonidealities):
        if plugin is not None:
            yield type(plugin)


def _provenance(plugin: type) -> dict[str, Any]:
    target = f"{plugin.__module__}:{plugin.__qualname__}"
    entry = {"kind": "", "name": plugin.__name__, "distribution": "", "version": ""}
    origin: dict[str, Any] = {}
    for kind, registry in memcore.registries().items():
        for provider in registry.providers():
            if provider.target == target:
                entry = {"kind": kind, "name": provider.name}
                entry |= {"distribution": provider.distribution, "version": provider.version}
                origin = provider.origin
    return {**entry, "target": target, "code": _code(plugin), "origin": origin}


def _code(plugin: type) -> str:
    try:
        content = Path(inspect.getfile(plugin)).read_bytes()
    except (OSError, TypeError):  # written in a notebook or at the prompt
        return ""
    return hashlib.sha256(content).hexdigest()[:16]
