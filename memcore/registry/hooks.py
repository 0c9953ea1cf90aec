"""Events that any number of plugins may answer: real pluggy calls, at conversion only.

A module, class or object in the entry-point group `memcore.hooks` implements any of these
functions with `@memcore.hookimpl`.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import pluggy
from torch import nn

from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import PROJECT, hookspec
from memcore.contracts.records import Programmed
from memcore.errors import MemcoreWarning, PluginLoadError
from memcore.registry.registry import Registry
from memcore.registry.scan import Provider


class Hooks:
    """The specifications of the hooks."""

    @hookspec(historic=True)
    def memcore_register(self, registries: dict[str, Registry[Any]]) -> None:
        """Register computed names, say one for each data file, in `registries["devices"]`."""

    @hookspec
    def memcore_array_programmed(self, array: ArrayInfo, programmed: Programmed) -> None:
        """React to the writing of the arrays of a layer."""

    @hookspec
    def memcore_model_converted(self, model: nn.Module, report: dict[str, str]) -> None:
        """React to the conversion of a model; `report` tells why modules stayed digital."""

    @hookspec
    def memcore_report(self, model: nn.Module) -> list[tuple[str, str]]:
        """Return lines (title, text) to add to `memcore.summary`."""
        raise NotImplementedError


def load(
    providers: Sequence[Provider], registries: dict[str, Registry[Any]]
) -> pluggy.PluginManager:
    """A plugin manager with the given modules, classes and objects registered."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    # A historic call reaches each plugin when it is registered: an error is laid to its plugin.
    manager.hook.memcore_register.call_historic(kwargs={"registries": registries})
    for provider in providers:
        try:
            plugin = provider.load()
            check(plugin)
            manager.register(plugin, name=provider.qualified)
        except Exception as error:
            if manager.has_plugin(provider.qualified):
                manager.unregister(name=provider.qualified)
            warnings.warn(
                f"hooks {provider.name!r} of {provider} are not used: "
                f"{type(error).__name__}: {error}",
                MemcoreWarning,
                stacklevel=2,
            )
    return manager


def check(plugin: Any) -> None:
    """Compare a plugin's hooks with the specifications, in a manager that nobody else uses."""
    if hasattr(plugin, "memcore_convert_module"):
        raise PluginLoadError(
            "memcore_convert_module is no hook any more; a layer is a plugin now: subclass "
            "memcore.Layer, with replaces, operands and forward, name the class in the entry-point "
            "group 'memcore.layers', and remove the function"
        )
    trial = pluggy.PluginManager(PROJECT)
    trial.add_hookspecs(Hooks)
    trial.register(plugin)
    trial.check_pending()
