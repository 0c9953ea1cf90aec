"""`study.resolved.json`: all that the figures of a study depend on, and how two studies differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from memcore.errors import MemcoreError
from memcore.study.config import Study
from memcore.study.embedding import embedded
from memcore.study.files import digest_json
from memcore.study.layered import patterns

FORMAT: Final = 1
#: What may change without changing a figure of the table.
_COSMETIC: Final = {
    "study": {"name", "title", "note", "batch", "cost", "reference"},
    "sweep": {"title", "note"},
    "axis": {"label", "unit", "scale", "range"},
}
#: Entries of a sweep that records do not have which do not know of them.
_NEW: Final = (("design", "grid"), ("points", None))


def resolved(
    study: Study,
    versions: Mapping[str, str],
    plugins: Sequence[Mapping[str, Any]],
    crossbars: Mapping[str, Any],
    code: Mapping[str, str],
) -> dict[str, Any]:
    """The content of `study.resolved.json`: all that the figures depend on.

    `crossbars` has the full configuration of each sweep's first point, every default written out;
    `identity` is a hash of all that the figures depend on: the study without its words, the
    versions of memcore and torch, the plugins' versions and code, and the user's own code.
    """
    record = {
        "format": FORMAT,
        "versions": dict(versions),
        "plugins": [dict(plugin) for plugin in plugins],
        "code": dict(code),
        "study": embedded(study.resolved(), study.folder),
        "crossbars": dict(crossbars),
    }
    return {"format": FORMAT, "identity": _identity(record), **record}


def checked(content: Any) -> dict[str, Any] | None:
    """A record as `resolved` makes them; None for any other content, however it came about."""
    try:
        if content["format"] == FORMAT and content["identity"] == _identity(content):
            Study.model_validate(content["study"])
            return dict(content)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return None
    except (ValidationError, MemcoreError):
        return None
    return None


def has_more_chips(there: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a study is that of a folder but for a larger number of chips."""
    old, new = _chips(there, record)
    return old < new


def _chips(there: Mapping[str, Any], record: Mapping[str, Any]) -> tuple[int, int]:
    """Chips of the study of a folder and of another one; (0, 0) if more differs between them."""
    old, new = (_flat(_compared(each)) for each in (there, record))
    if [key for key in {**old, **new} if old.get(key) != new.get(key)] != ["study.chips"]:
        return 0, 0
    return old["study.chips"], new["study.chips"]


def conflict(folder: Path, there: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """What differs between the study of a folder and another one, and what to do."""
    more, fewer = _chips(there, record)
    if more > fewer:
        return (
            f"'{folder}' holds {more} chips of this study at each point, more than chips = "
            f"{fewer}; expected chips = {more} or more, which go on from those that are there: "
            "choose another folder (--out) for fewer, or start over in this one (--fresh)"
        )
    old, new = (_flat(_compared(each)) for each in (there, record))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    lines = [f"'{folder}' holds another study:"]
    lines += [
        f"  {key}: {old.get(key, 'absent')} there, {new.get(key, 'absent')} now"
        for key in keys[:12]
    ]
    if len(keys) > 12:
        lines.append(f"  ... and {len(keys) - 12} more differences")
    lines.append("choose another folder (--out), or start over in this one (--fresh)")
    return "\n".join(lines)


def _identity(record: Mapping[str, Any]) -> str:
    return digest_json(_compared(record))


def _compared(record: Mapping[str, Any]) -> dict[str, Any]:
    study, sweeps = {**record["study"]}, {}
    if study["study"].get("interval") is None:  # as in records that do not know of it
        without = ("interval", "most_chips")
        study["study"] = {k: v for k, v in study["study"].items() if k not in without}
    for table in ("in_place", "compress"):  # likewise
        if study.get(table) is None:
            study.pop(table, None)
    for sweep in study["sweep"]:
        content = {k: v for k, v in _without(sweep, "sweep").items() if (k, v) not in _NEW}
        content["axes"] = {name: _without(axis, "axis") for name, axis in sweep["axes"].items()}
        sweeps[content.pop("name")] = content
    return {
        **{**study, "study": _without(study["study"], "study"), "sweep": sweeps},
        "layers": patterns(study["crossbar"]),  # of which the first that fits counts
        "versions": dict(record["versions"]),
        "code": dict(record["code"]),
        "plugins": {
            f"{plugin['kind']}.{plugin['name']}": {
                key: plugin[key] for key in ("distribution", "version", "code")
            }
            for plugin in record["plugins"]
        },
    }


def _without(content: Mapping[str, Any], section: str) -> dict[str, Any]:
    """What counts: values of a design count, and the range that they were chosen from does not."""
    return {key: value for key, value in content.items() if key not in _COSMETIC[section]}


def _flat(content: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        return {path: content}
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{path}.{key}".lstrip("."))
    return flat
