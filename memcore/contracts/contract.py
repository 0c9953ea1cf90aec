"""The base of the contracts: abstract classes whose methods are pluggy hook specifications.

A plugin subclasses one as an ordinary frozen dataclass; overriding a method marks it as an
implementation, and pluggy names an argument that the specification does not have. Nothing here runs
in a forward pass: `bind` resolves a plugin into plain forms or modules at conversion.

Tensors everywhere: conductances [arrays, rows, cols] in siemens, rows being word lines (inputs) and
columns bit lines (outputs). Every number is in SI units.
"""

import inspect
from abc import ABC
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Final

import pluggy

from memcore.contracts.ranges import check

PROJECT = "memcore"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

_CHECKED: Final = "checks_parameters"  #: marks a `__post_init__` that does


class Contract(ABC):
    """Base of the contracts; a plugin never subclasses it directly."""

    api: ClassVar[int] = 1  #: the version of the contract that a plugin was written for
    kind: ClassVar[str]
    #: Whether the temperature of the arrays changes what it does; a property may tell from the
    #: parameters. None leaves it to memcore to see whether its methods read a temperature.
    feels_temperature: ClassVar[bool | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not getattr(cls.__post_init__, _CHECKED, False):
            cls.__post_init__ = _checked_before(cls.__post_init__)  # type: ignore[method-assign]
        for name in specifications(cls):
            if name in vars(cls) and not _is_specification(vars(cls)[name]):
                hookimpl(vars(cls)[name])

    def __post_init__(self) -> None:  # noqa: B027, plugins with nothing to add have none
        """Nothing; the ranges of the parameters are checked before it, also where it is overridden.

        An override may rely on them, and checks what its parameters must be together.
        """


def _checked_before(post_init: Callable[..., None]) -> Callable[..., None]:
    """The same method after a check of the parameters, once for an instance."""

    @wraps(post_init)
    def checked(self: Contract, *arguments: Any) -> None:
        if type(self).__post_init__ is checked:  # not one that `super()` reached
            check(self)
        post_init(self, *arguments)

    setattr(checked, _CHECKED, True)
    return checked


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


def speaks_of(cls: type, said: str, done: str) -> bool:
    """Whether what a method says beforehand holds for what another one does.

    It does not where a subclass has replaced the second one alone, and inherits the first.

    Args:
        cls: class of a plugin.
        said: name of the method, or of the attribute, that speaks.
        done: name of the method of which it does.
    """
    return issubclass(_definer(cls, said), _definer(cls, done))


def _definer(cls: type, name: str) -> type:
    return next(each for each in cls.__mro__ if name in vars(each))
