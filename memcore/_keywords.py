"""Calls that do not fit: the argument is named, with the nearest one that there is.

`hinted` is applied where public names are handed out, at the faces of the packages and in the
registries, so that no function has to think of it. Only a call that fails costs anything. Of a call
that fits and fails inside with an error of Python or torch, an argument of another type than the
signature says is named, and the error is its cause. An error that comes out of somebody else's
code, a function that was handed in say, stays as it was raised.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import wraps
from types import FunctionType, TracebackType
from typing import Any, Final, TypeVar

from memcore._text import hint, shown
from memcore.errors import ArgumentTypeError, MemcoreError

T = TypeVar("T")

_HINTED: Final = "names_what_does_not_fit"  #: marks what does so already
#: What Python and torch raise where a value cannot be worked with.
_RAW: Final = (TypeError, AttributeError, ValueError, RuntimeError, ArithmeticError, LookupError)
#: Packages beside those of Python whose errors may come from an argument that memcore passed on.
_KNOWN: Final = frozenset(
    (
        "memcore",
        "memcore_plugins",
        "torch",
        "numpy",
        "scipy",
        "pydantic",
        "safetensors",
        "matplotlib",
    )
)


def hinted(value: T, module: str = "") -> T:
    """A function or a class whose calls raise an `ArgumentTypeError` that says what does not fit.

    Signature, types and documentation stay. Of a class its own `__init__` is changed in place;
    anything else that comes is returned as it is.

    Args:
        value: a public name.
        module: the public module that hands a function out, where pickles find it.

    Examples:
        >>> @hinted
        ... def read(*, voltage=0.2):
        ...     return voltage
        >>> read(voltag=0.1)
        Traceback (most recent call last):
        memcore.errors.ArgumentTypeError: read has no parameter 'voltag'; did you mean 'voltage'?
    """
    if isinstance(value, type):
        own = vars(value).get("__init__")
        special = issubclass(value, BaseException | Enum) or getattr(value, "_is_protocol", False)
        if isinstance(own, FunctionType) and not special:
            value.__init__ = _telling(own)  # type: ignore[misc]
    elif isinstance(value, FunctionType):
        telling: Any = _telling(value)
        telling.__module__ = module or telling.__module__
        return telling  # type: ignore[no-any-return]
    return value


def hint_all(names: dict[str, Any], public: Iterable[str]) -> None:
    """Make all public names of a module `hinted`.

    Args:
        names: what the module holds, `globals()`.
        public: names of what is public, `__all__`.
    """
    made: dict[int, Any] = {}  # a second name of one function stays one
    for name in public:
        value = names[name]
        if id(value) not in made:
            made[id(value)] = hinted(value, names["__name__"])
        names[name] = made[id(value)]


def _telling(function: Callable[..., Any]) -> Callable[..., Any]:
    if hasattr(function, _HINTED):
        return function

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except _RAW as error:
            misfit = _misfit(function, args, kwargs) if isinstance(error, TypeError) else ""
            if misfit:
                raise ArgumentTypeError(misfit) from None
            known = isinstance(error, MemcoreError) or _is_foreign(error.__traceback__)
            wrong = "" if known else _mistyped(function, args, kwargs)
            if wrong:
                raise ArgumentTypeError(wrong) from error
            raise

    setattr(call, _HINTED, True)
    return call


def _is_foreign(traceback: TracebackType | None) -> bool:
    """Whether an error went through code that neither memcore nor its packages brought."""
    while traceback is not None:
        package = str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if package not in _KNOWN and package not in sys.stdlib_module_names:
            return True
        traceback = traceback.tb_next
    return False


def _mistyped(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    from memcore._mistyped import mistyped  # with torch, which only a mistake pays for

    try:
        wrong = mistyped(function, args, kwargs)
    except Exception:  # annotations or values that cannot be asked; the error at hand says more
        return ""
    return f"{_name(function, args)}: {wrong}" if wrong else ""


def _name(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Of what was called: of a class where it was its `__init__`."""
    return type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__


def _misfit(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """What of the arguments the signature of a function does not take; empty if nothing."""
    import inspect  # a quarter of the time of `import memcore`, which only a mistake pays for

    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        who = _name(function, args)
        every = signature.parameters.values()
        either = _public(p.name for p in every if p.kind is p.POSITIONAL_OR_KEYWORD)
        by_name = _public(p.name for p in every if p.kind is p.KEYWORD_ONLY)
        taken = [*either, *by_name]
        anything = any(p.kind is p.VAR_KEYWORD for p in every)
        unknown = [] if anything else [key for key in kwargs if key not in taken]
        if unknown:
            return f"{who} has no parameter {shown(unknown[0])}{hint(unknown[0], taken)}"
        listed = ", ".join([*either, *(["*", *by_name] if by_name else [])])
        return f"{who}: {error}; expected {who}({listed})"
    return ""


def _public(names: Iterable[str]) -> list[str]:
    """Those names of parameters that a caller gives."""
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]
