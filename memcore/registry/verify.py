"""Whether a plugin fulfils its contract, checked once when it is loaded."""

import inspect
from functools import cache
from typing import Any

import pluggy

from memcore.contracts import BASES
from memcore.contracts.contract import PROJECT, Contract, contract_of, specifications
from memcore.contracts.effect import NonIdeality
from memcore.contracts.layer import Layer
from memcore.contracts.mapper import Mapper
from memcore.contracts.programmer import Programmer
from memcore.contracts.records import Stage
from memcore.errors import PluginLoadError

SPOKEN_API = 1  #: the version of the contracts that this memcore speaks; it accepts the one before


@cache
def signature_error(cls: type[Contract]) -> str | None:
    """The error in the signatures of a plugin's hooks, None if there is none.

    pluggy compares argument names with the specification; since hooks are called directly, the
    order must agree too.
    """
    contract = contract_of(cls)
    assert contract is not None
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(contract)
    problem = ""
    try:
        manager.register(cls, name=cls.__qualname__)
    except pluggy.PluginValidationError as error:
        problem = f"{error}; "
    for name in specifications(cls):
        wanted = list(inspect.signature(getattr(contract, name)).parameters)
        own = list(inspect.signature(getattr(cls, name)).parameters)
        if own != wanted:
            written = f"{cls.__qualname__}.{name}({', '.join(own)})"
            return f"{problem}{written} should be ({', '.join(wanted)})"
    return problem or None


def verify(plugin: Any, kind: str, described: str) -> None:
    """Check that a plugin class fulfils its contract.

    Args:
        plugin: object that the entry point holds.
        kind: kind of the registry, such as `"devices"`.
        described: description of the plugin in messages.

    Raises:
        PluginLoadError: with what is wrong and what to do.
    """
    contract = BASES[kind]
    if not (isinstance(plugin, type) and issubclass(plugin, contract)):
        raise PluginLoadError(
            f"{described} is {plugin!r}; expected a subclass of memcore.{contract.__name__}"
        )
    if plugin.api not in (SPOKEN_API - 1, SPOKEN_API):
        ahead = isinstance(plugin.api, int) and plugin.api > SPOKEN_API
        newer = "memcore" if ahead else "version of the plugin's package"
        raise PluginLoadError(
            f"{described} was written for {contract.__name__} API {plugin.api!r}; this memcore "
            f"speaks {SPOKEN_API}; install a newer {newer}"
        )
    if issubclass(plugin, Layer):
        _verify_layer(plugin, described)
        return
    if not getattr(getattr(plugin, "__dataclass_params__", None), "frozen", False):
        raise PluginLoadError(
            f"{described} is no frozen dataclass; "
            "write @dataclass(frozen=True, kw_only=True) above the class"
        )
    missing = sorted(getattr(plugin, "__abstractmethods__", ()))
    if missing:
        raise PluginLoadError(f"{described} does not define {', '.join(missing)}")
    if issubclass(plugin, Mapper):
        _verify_mapper(plugin, described)
    if issubclass(plugin, NonIdeality) and not isinstance(getattr(plugin, "stage", None), Stage):
        raise PluginLoadError(
            f"{described} does not say when it acts; add stage = Stage.PROGRAM, AGE, READ, MVM or "
            "CURRENT to the class"
        )
    if issubclass(plugin, Programmer) and plugin.lines not in ("path", "network", None):
        raise PluginLoadError(
            f"{described} has lines={plugin.lines!r}; expected 'path', 'network' or None: say what "
            "takes part of the voltage of its pulses"
        )
    wrong = signature_error(plugin)
    if wrong is not None:
        raise PluginLoadError(f"{described}: {wrong}")


def _verify_mapper(plugin: type[Mapper], described: str) -> None:
    for name in ("combine", "decode"):
        if hasattr(plugin, name):
            raise PluginLoadError(
                f"{described} defines {name}, which nothing calls: what it did is data now; return "
                "memcore.Mapped(parts=(Part(target=plus), Part(target=minus, sign=-1)), "
                "gain=gain.reshape(1)) from map, with memcore.Reference for a reference column, "
                f"and remove {name}"
            )


def _verify_layer(plugin: type[Layer], described: str) -> None:
    if not plugin.replaces or not all(isinstance(each, type | str) for each in plugin.replaces):
        raise PluginLoadError(
            f"{described} has replaces = {plugin.replaces!r}; expected the modules that it takes "
            "the place of: replaces = (torch.nn.Linear,), or their qualified names"
        )
    for name in ("operands", "forward"):
        if getattr(plugin, name) is getattr(Layer, name):
            raise PluginLoadError(f"{described} does not define {name}")
