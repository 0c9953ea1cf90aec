"""Objects that a study names by a short name or as "package.module:function"."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from memcore._text import did_you_mean
from memcore.errors import MemcoreError, StudyError
from memcore.study import sources


def build(
    kind: str,
    component: Mapping[str, Any],
    known: Mapping[str, Callable[..., Any]],
    folder: Path,
) -> Any:
    """Call the function behind `component["name"]` with the other entries as keywords.

    Args:
        kind: kind of the component in messages, "model" or "data".
        component: mapping `{"name": ..., parameters}`.
        known: functions by their short names.
        folder: folder of the study file, whose modules can be named too.

    Raises:
        StudyError: no such name, no such function, or parameters it does not take; or it fails.
    """
    name, options = str(component["name"]), options_of(component)
    function = found(kind, name, known, folder)
    _check_options(f"{kind} {name!r}", function, options)
    try:
        with sources.importable(folder):
            return function(**options)
    except MemcoreError:
        raise
    except Exception as error:  # whatever a function of the user's raises
        raise StudyError(
            f"{kind} {name!r} fails: {type(error).__name__}: {error}; expected a function that "
            f"returns the {kind}"
        ) from error


def found(kind: str, name: str, known: Mapping[str, Callable[..., Any]], folder: Path) -> Any:
    """The function behind a name.

    Raises:
        StudyError: no such name, or it cannot be imported.
    """
    return known[name] if name in known else _imported(kind, name, known, folder)


def options_of(component: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a component: all but its name."""
    return {key: value for key, value in component.items() if key != "name"}


def _check_options(what: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none
        return
    try:
        signature.bind(**options)
    except TypeError as error:
        taken = ", ".join(signature.parameters) or "no parameters"
        raise StudyError(f"{what}: {error}; it takes {taken}") from None


def _imported(
    kind: str, name: str, known: Mapping[str, Callable[..., Any]], folder: Path
) -> Callable[..., Any]:
    module, colon, attribute = name.partition(":")
    if not colon:
        raise StudyError(
            f"no {kind} named {name!r}{did_you_mean(name, known)}\n"
            f'  there are: {", ".join(known)}, or your own as "package.module:function"'
        )
    if not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
        raise StudyError(
            f'{kind} {name!r} is no name of a function; expected "package.module:function"'
        )
    try:
        with sources.importable(folder):
            sources.forget_changed(module, folder)
            component = attrgetter(attribute)(importlib.import_module(module))
            sources.remember(module, folder)
    # Whatever a module of the user's does when it is imported, ending the process included.
    except (Exception, SystemExit) as error:
        what = (
            "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        )
        raise StudyError(
            f"{kind} {name!r} cannot be imported: {what}{error}; it is looked for in the "
            f"environment, in the working directory and beside the study file ('{folder}')"
        ) from error
    if not callable(component):
        raise StudyError(f"{kind} {name!r} is {type(component).__name__}; expected a function")
    return component  # type: ignore[no-any-return]
