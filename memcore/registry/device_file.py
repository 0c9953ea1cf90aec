"""Device files: a TOML file with a table `[device]` stands wherever a device's name may.

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


def is_device_file(name: object) -> bool:
    """Whether a name is that of a file: it ends in .toml."""
    return isinstance(name, str | Path) and str(name).endswith(".toml")


def require_name(path: str | Path) -> None:
    """Refuse a path that would not be taken for a device file.

    Raises:
        ConfigError: it does not end in .toml.
    """
    if not is_device_file(path):
        raise ConfigError(f"device file '{path}'; expected a name that ends in .toml")


def expanded(spec: Any, folder: str | Path = "") -> Any:
    """The mapping that a device file holds; any other spec as it is.

    Args:
        spec: a path, a mapping whose name is a path and whose other entries win over the file's,
            or anything else.
        folder: folder to which a relative path refers; by default the current one.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    if is_device_file(spec):
        return read(Path(folder) / spec)["device"]
    if isinstance(spec, Mapping) and is_device_file(spec.get("name")):
        overrides = {key: value for key, value in spec.items() if key != "name"}
        return {**read(Path(folder) / spec["name"])["device"], **overrides}
    return spec


def read(path: str | Path) -> dict[str, Any]:
    """The tables of a device file.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    content = _toml.read(path, "device file")
    for key in content:
        if key not in TABLES:
            raise ConfigError(f"device file '{path}' has no table {key!r}{hint(key, TABLES)}")
    device = content.get("device")
    if not isinstance(device, Mapping) or not isinstance(device.get("name"), str):
        raise ConfigError(
            f"device file '{path}' names no device; expected a table [device] with name = "
            '"vteam" and parameters'
        )
    if is_device_file(device["name"]):
        raise ConfigError(
            f"device file '{path}' names another file, {device['name']!r}; expected the name of "
            "an installed device"
        )
    return content


def write(path: str | Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Write tables of plain values as TOML; entries that are None are left out.

    Raises:
        ConfigError: there is no such folder, or nothing can be written there.
    """
    text = _toml.text(tables)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"device file '{path}' cannot be written: {error.strerror}") from None
