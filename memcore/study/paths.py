"""Dotted paths into `[crossbar]`."""

import copy
import re
from collections.abc import Mapping
from typing import Any

from memcore._text import did_you_mean
from memcore.errors import StudyError
from memcore.study.layered import DIGITAL, patterns

#: Entries of `[crossbar]` that hold a plugin, and so may be a mere name.
PLUGINS = ("device", "mapper", "programmer", "dac", "adc")


def assign(crossbar: dict[str, Any], path: str, value: Any, what: str) -> None:
    """Set one dotted path of a crossbar mapping in place.

    Args:
        crossbar: content of `[crossbar]`.
        path: path; it may begin with the pattern of a table of layers, dots included.
        value: what stands there afterwards.
        what: beginning of messages.

    Raises:
        StudyError: the path leads nowhere; says which path and what is there.
    """
    layers = sorted(patterns(crossbar), key=len, reverse=True)
    pattern = next((each for each in layers if path.startswith(f"{each}.")), None)
    if pattern is not None:
        if crossbar[pattern] == DIGITAL:
            raise StudyError(
                f"{what}, but crossbar.{pattern} is {DIGITAL!r}; expected a table with settings"
            )
        at = f"crossbar.{pattern}"
        assign_in(crossbar[pattern], path.removeprefix(f"{pattern}."), value, what, at)
        return
    assign_in(crossbar, path, value, what, "crossbar")


def assign_in(table: dict[str, Any], path: str, value: Any, what: str, at: str) -> None:
    """Set one dotted path of a table in place, as `assign` does.

    Args:
        table: content of the table.
        path: path in it.
        value: what stands there afterwards.
        what: beginning of messages.
        at: name of the table for messages.

    Raises:
        StudyError: the path leads nowhere; says which path and what is there.
    """
    *parents, last = path.split(".")
    node: Any = table
    for depth, key in enumerate(parents):
        node = _entered(node, key, ".".join(parents[:depth]), what, at)
    if isinstance(node, list):
        node[_position(node, last, f"{at}.{'.'.join(parents)}", what)] = copy.deepcopy(value)
    else:
        node[last] = copy.deepcopy(value)


def _entered(node: Any, key: str, where: str, what: str, at: str) -> Any:
    """The mapping or list under `key`; a plugin given by its mere name becomes a mapping."""
    place = f"{at}.{where}" if where else at
    slot: Any = _position(node, key, place, what) if isinstance(node, list) else key
    if isinstance(node, Mapping) and key not in node:
        there, root = ", ".join(map(str, node)) or "nothing", at.partition(".")[0]
        raise StudyError(
            f"{what}, but {place} has no {key!r}{did_you_mean(key, map(str, node))}\n"
            f"  there is: {there}; write it into [{root}] or into the sweep's 'set' first"
        )
    child = node[slot]
    is_entry = not where or re.fullmatch(r"lanes\.\d+", where)
    if isinstance(child, str) and (isinstance(node, list) or (is_entry and key in PLUGINS)):
        child = {"name": child}
    elif isinstance(child, tuple):
        child = list(child)
    elif not isinstance(child, dict | list):
        raise StudyError(
            f"{what}, but {place}.{key} is {child!r}, which has no parts; "
            "write it as a table, for instance { normal = { mean = ..., std = ... } }"
        )
    node[slot] = child
    return child


def _position(node: list[Any], key: str, place: str, what: str) -> int:
    """The position in a list of plugins of the one with that name or number."""
    names = [str(item.get("name")) if isinstance(item, Mapping) else str(item) for item in node]
    if key.isdecimal() and int(key) < len(names):
        return int(key)
    if names.count(key) > 1:
        raise StudyError(
            f"{what}, but {place} has {names.count(key)} entries named {key!r}; "
            f"say which by its number, 0 to {len(names) - 1}"
        )
    if key not in names:
        raise StudyError(
            f"{what}, but {place} has no {key!r}{did_you_mean(key, names)}\n"
            f"  there is: {', '.join(names) or 'nothing'}; write it into "
            f"[{place.partition('.')[0]}] or into the sweep's 'set' first"
        )
    return names.index(key)
