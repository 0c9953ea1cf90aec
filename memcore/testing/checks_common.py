"""What every plugin promises, whatever its contract."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

from memcore.contracts.contract import Contract
from memcore.errors import PluginLoadError
from memcore.registry.verify import verify
from memcore.testing.cases import describe, fail, same_parameters


def check_fulfils_its_contract(plugin: Contract) -> None:
    """The plugin is a frozen dataclass with every method, with arguments named as specified."""
    try:
        verify(type(plugin), plugin.kind, describe(plugin))
    except PluginLoadError as error:
        raise AssertionError(str(error)) from None


def check_pickles(plugin: Contract) -> None:
    """A pickled plugin is the same plugin: data loaders and clusters send it to processes."""
    try:
        again = pickle.loads(pickle.dumps(plugin))
    except Exception as error:
        fail(
            plugin,
            f"it cannot be pickled: {type(error).__name__}: {error}",
            "define the class at the top of its module and keep only numbers, strings, tensors and "
            "distributions in its fields",
        )
    _require_same(plugin, again, "pickling")


def check_deep_copies(plugin: Contract) -> None:
    """A deep copy is the same plugin."""
    _require_same(plugin, copy.deepcopy(plugin), "copy.deepcopy")


def _require_same(plugin: Contract, again: Contract, by: str) -> None:
    if not same_parameters(plugin, again):
        fail(
            plugin,
            f"{by} gives {describe(again)}",
            "let all that matters be a dataclass field that compares equal to its copy",
        )


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_fulfils_its_contract,
    check_pickles,
    check_deep_copies,
)
