"""Device files: a TOML file with a table `[device]` stands wherever a device's name may.

So does an effect file with a table `[nonideality]` in place of the name of a non-ideality.

```toml
[device]
name = "vteam"
r_on = 112.0

[provenance]
data = "loop.csv"
```

`[device]` is what a mapping would hold: a name, parameters in SI units, perhaps a preset. The other
tables say where the numbers come from; `memcore.fit` writes them and nothing depends on them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from memcore import _toml
from memcore._text import hint
from memcore.errors import ConfigError

TABLES: Final = ("device", "provenance", "uncertainty")
#: The table of each kind of plugin that has files, what they are called, and an example.
_FILES: Final[Mapping[str, tuple[str, str, str]]] = {
    "devices": ("device", "device file", "vteam"),
    "nonidealities": ("nonideality", "effect file", "drift"),
}


def is_device_file(name: object) -> bool:
    """Whether a name is that of a file: it ends in .toml."""
    return isinstance(name, str | Path) and str(name).endswith(".toml")


def require_name(path: str | Path, kind: str = "devices") -> None:
    """Refuse a path that would not be taken for a device file, or for one of another kind.

    Raises:
        ConfigError: it does not end in .toml.
    """
    if not is_device_file(path):
        raise ConfigError(f"{_FILES[kind][1]} '{path}'; expected a name that ends in .toml")


def expanded(spec: Any, folder: str | Path = "", kind: str = "devices") -> Any:
    """The mapping that a device file or an effect file holds; any other spec as it is.

    Args:
        spec: a path, a mapping whose name is a path and whose other entries win over the file's,
            or anything else.
        folder: folder to which a relative path refers; by default the current one.
        kind: "devices" or "nonidealities"; a spec of another kind is returned as it is.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    if kind not in _FILES:
        return spec
    table = _FILES[kind][0]
    if is_device_file(spec):
        return read(Path(folder) / spec, kind)[table]
    if isinstance(spec, Mapping) and is_device_file(spec.get("name")):
        overrides = {key: value for key, value in spec.items() if key != "name"}
        return {**read(Path(folder) / spec["name"], kind)[table], **overrides}
    return spec


def table_expanded(table: Mapping[str, Any], folder: str | Path = "") -> dict[str, Any]:
    """The settings of a crossbar, or of one of its lanes, with what files hold in their place.

    Args:
        table: settings.
        folder: folder to which relative paths refer.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    found = dict(table)
    if found.get("device") is not None:
        found["device"] = expanded(found["device"], folder)
    if isinstance(found.get("nonidealities"), list):
        effects = found["nonidealities"]
        found["nonidealities"] = [expanded(each, folder, "nonidealities") for each in effects]
    if isinstance(found.get("lanes"), list):
        found["lanes"] = lanes_expanded(found["lanes"], folder)
    return found


def lanes_expanded(lanes: list[Any], folder: str | Path = "") -> list[Any]:
    """As `table_expanded`, each of several lanes."""
    return [table_expanded(each, folder) if isinstance(each, Mapping) else each for each in lanes]


def read(path: str | Path, kind: str = "devices") -> dict[str, Any]:
    """The tables of a device file, or of an effect file.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    table, what, example = _FILES[kind]
    content = _toml.read(path, what)
    tables = (table, *TABLES[1:])
    for key in content:
        if key not in tables:
            raise ConfigError(f"{what} '{path}' has no table {key!r}{hint(key, tables)}")
    named = content.get(table)
    if not isinstance(named, Mapping) or not isinstance(named.get("name"), str):
        raise ConfigError(
            f"{what} '{path}' names no {table}; expected a table [{table}] with name = "
            f'"{example}" and parameters'
        )
    if is_device_file(named["name"]):
        raise ConfigError(
            f"{what} '{path}' names another file, {named['name']!r}; expected the name of "
            f"an installed {table}"
        )
    return content


def write(path: str | Path, tables: Mapping[str, Mapping[str, Any]], kind: str = "devices") -> None:
    """Write tables of plain values as TOML; entries that are None are left out.

    Raises:
        ConfigError: there is no such folder, or nothing can be written there.
    """
    text = _toml.text(tables)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        what = _FILES[kind][1]
        raise ConfigError(f"{what} '{path}' cannot be written: {error.strerror}") from None
