"""Events that any number of plugins may answer: real pluggy calls, at conversion only.

A module, class or object in the entry-point group `memcore.hooks` implements any of these
functions with `@memcore.hookimpl`.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pluggy
from torch import nn

from memcore._text import printable, shown
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
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module that calls sys.exit ends nothing but itself
            if manager.has_plugin(provider.qualified):
                manager.unregister(name=provider.qualified)
            warnings.warn(
                f"hooks {provider.name!r} of {provider} are not used: "
                f"{printable(f'{type(error).__name__}: {error}')}",
                MemcoreWarning,
                stacklevel=2,
            )
    return manager


def call(
    manager: pluggy.PluginManager, hook: Callable[..., Any], **arguments: Any
) -> list[tuple[str, Any]]:
    """What each plugin answers, with its name; the last registered first.

    Warns:
        MemcoreWarning: a plugin failed; its answer is missing, the others are there.
    """
    every = {
        each.plugin_name: each.plugin
        for each in getattr(manager.hook, hook.__name__).get_hookimpls()
    }
    answers = []
    for name, plugin in reversed(every.items()):
        others = [other for other in every.values() if other is not plugin]
        try:
            found = manager.subset_hook_caller(hook.__name__, others)(**arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a third party's code does
            _warn_of_failure(name, hook.__name__, error)
        else:
            answers += [(name, answer) for answer in found]
    return answers


def notes(manager: pluggy.PluginManager, model: nn.Module) -> list[tuple[str, str]]:
    """The lines that plugins add to a summary.

    Warns:
        MemcoreWarning: a plugin failed, or returned something else.
    """
    found: list[tuple[str, str]] = []
    for name, lines in call(manager, Hooks.memcore_report, model=model):
        if isinstance(lines, list | tuple) and all(map(_is_note, lines)):
            found += [(printable(title), printable(text)) for title, text in lines]
            continue
        warnings.warn(
            f"memcore_report of {name} returned {shown(lines)}; expected a list of (title, text): "
            "it is left out",
            MemcoreWarning,
            stacklevel=3,
        )
    return found


def _is_note(line: Any) -> bool:
    pair = isinstance(line, list | tuple) and len(line) == 2
    return pair and all(isinstance(text, str) for text in line)


def _warn_of_failure(name: str, hook: str, error: BaseException) -> None:
    warnings.warn(
        f"{hook} of {name} failed and has no effect: "
        f"{printable(f'{type(error).__name__}: {error}')}; tell the author of the plugin",
        MemcoreWarning,
        stacklevel=4,
    )


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
