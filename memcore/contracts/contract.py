"""The base of the contracts: abstract classes whose methods are pluggy hook specifications.

A plugin subclasses one as an ordinary frozen dataclass; overriding a method marks it as an
implementation, and pluggy names an argument that the specification does not have. Nothing here runs
in a forward pass: `bind` resolves a plugin into plain forms or modules at conversion.

Tensors everywhere: conductances [arrays, rows, cols] in siemens, rows being word lines (inputs) and
columns bit lines (outputs). Every number is in SI units.
"""

import inspect
from abc import ABC
from typing import Any, ClassVar

import pluggy

PROJECT = "memcore"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Contract(ABC):
    """Base of the contracts; a plugin never subclasses it directly."""

    api: ClassVar[int] = 1  #: the version of the contract that a plugin was written for
    kind: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in specifications(cls):
            if name in vars(cls) and not _is_specification(vars(cls)[name]):
                hookimpl(vars(cls)[name])


def contract_of(cls: type) -> type[Contract] | None:
    """The contract that a plugin class fulfils, None if it is no plugin."""
    return next((base for base in cls.__mro__ if Contract in getattr(base, "__bases__", ())), None)


def specifications(cls: type) -> list[str]:
    """The names of the hooks of a plugin's contract."""
    contract = contract_of(cls)
    if contract is None:
        return []
    return [name for name, value in vars(contract).items() if _is_specification(value)]


def _is_specification(value: Any) -> bool:
    return inspect.isfunction(value) and hasattr(value, f"{PROJECT}_spec")
