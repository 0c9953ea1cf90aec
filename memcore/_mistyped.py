"""Which argument of a call is of another type than the function says; asked once a call failed.

Public functions check what they take where its value matters. What they do not check fails inside,
with an error that names no argument: this finds the one that could not have been meant.
"""

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Generic, Literal, Protocol, Union, get_args, get_origin

from torch import Tensor, nn

from memcore import _check
from memcore._text import shown

_NAMES: Final = "__annotations__"


def mistyped(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What to say of the first argument that is of another type; empty if there is none.

    Args:
        function: whose signature takes these arguments.
        args: by position.
        kwargs: by name.
    """
    hints, given = _hints(function), inspect.signature(function).bind(*args, **kwargs).arguments
    for name, value in _each(function, given):
        annotation = hints.get(name, Any)
        if not fits(value, annotation):
            return f"{name}={shown(value)}; expected {described(annotation)}"
    return ""


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value may be meant where there is an annotation; true in case of doubt."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in args)
    if origin is typing.Annotated:
        return fits(value, args[0])
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in args)
    if annotation is None or annotation is types.NoneType:
        return value is None
    if annotation in (Any, object):
        return True
    if annotation in _NUMBERS:
        return _NUMBERS[annotation](value)
    kind = annotation if origin is None else origin
    if not isinstance(kind, type):
        return True
    if getattr(kind, "_is_protocol", False):
        return all(hasattr(value, name) for name in _members(kind))
    if isinstance(value, str | bytes) and kind in (Sequence, Iterable):  # of letters, which none is
        return bool(args) and fits(value[:1], args[0])
    return isinstance(value, kind) and _entries_fit(value, origin, args)


def described(annotation: Any) -> str:
    """An annotation in the words of a message."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(described, args)))
    if origin is typing.Annotated:
        return described(args[0])
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}"
    kind = annotation if origin is None else origin
    if kind in _WORDS:
        return _WORDS[kind]
    name = getattr(kind, "__name__", str(kind))
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


def _each(function: Callable[..., Any], given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values, one by one where a parameter takes several."""
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in given or parameter.kind is parameter.VAR_KEYWORD:
            continue
        several = parameter.kind is parameter.VAR_POSITIONAL
        yield from ((name, value) for value in (given[name] if several else (given[name],)))


def _entries_fit(value: Any, origin: Any, args: tuple[Any, ...]) -> bool:
    """Whether the entries of a tuple or list are what its annotation says."""
    if not isinstance(value, tuple | list) or not args or not isinstance(origin, type):
        return True
    if not issubclass(origin, Sequence):
        return True
    kinds = [each for each in args if each is not Ellipsis]
    if origin is tuple and Ellipsis not in args:
        return len(value) == len(args) and all(map(fits, value, args))
    return all(fits(each, kinds[0]) for each in value)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of parameters, without those of types that only type checkers know."""
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        known = getattr(function, "__annotations__", {})
        return {name: each for name, each in known.items() if not isinstance(each, str)}


def _members(protocol: type) -> set[str]:
    """What objects have that may stand where a protocol is asked for."""
    bases = [each for each in protocol.__mro__ if each not in (object, Protocol, Generic)]
    every = {name for each in bases for name in (*vars(each), *vars(each).get(_NAMES, ()))}
    return {name for name in every if not name.startswith("_")} | ({"__call__"} & every)


#: Kinds of values that have more than one class.
_NUMBERS: Final[dict[Any, Callable[[Any], bool]]] = {
    float: _check.is_number,
    int: _check.is_integer,
    bool: lambda value: isinstance(value, bool),
}
_WORDS: Final[dict[Any, str]] = {
    float: "a number",
    int: "an integer of 64 bits",
    bool: "True or False",
    str: "a text",
    type(None): "None",
    None: "None",
    Path: "a path",
    Tensor: "a tensor",
    nn.Module: "a torch.nn.Module",
    tuple: "a tuple",
    list: "a list",
    Sequence: "a sequence",
    Iterable: "several",
    Mapping: "a mapping",
    type: "a class",
}
