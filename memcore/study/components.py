"""Objects that a study names by a short name or as "package.module:function"."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memcore._text import did_you_mean
from memcore.errors import StudyError


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
        StudyError: no such name, no such function, or parameters it does not take.
    """
    name = str(component["name"])
    options = {key: value for key, value in component.items() if key != "name"}
    function = known[name] if name in known else _imported(kind, name, known, folder)
    _check_options(f"{kind} {name!r}", function, options)
    return function(**options)


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
    try:
        with _importable(folder):
            component = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise StudyError(
            f"{kind} {name!r} cannot be imported: {error}; it is looked for in the environment, "
            f"in the working directory and beside the study file ('{folder}')"
        ) from error
    if not callable(component):
        raise StudyError(f"{kind} {name!r} is {type(component).__name__}; expected a function")
    return component  # type: ignore[no-any-return]


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [str(folder), str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before
