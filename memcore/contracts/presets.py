"""Presets in files: published parameter sets, each a device file beside its model.

The presets of a class in `vteam.py` are `vteam/NAME.toml`, in the format that `memcore.fit` writes:

```toml
[device]
name = "vteam"
r_on = 100.0
r_off = { lognormal = { median = 2500.0, sigma = 0.1 } }

[provenance]
source = "the paper or file, with the figure or table, and how sure the numbers are"
validity = "the range in which the set describes its device"
```

A file is read when its preset is first asked for.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from memcore import _toml
from memcore._text import hint
from memcore.contracts.distributions import DISTRIBUTIONS
from memcore.contracts.parameters import Preset
from memcore.errors import ConfigError


class PresetFiles(Mapping[str, Preset]):
    """The presets of a folder by name.

    Args:
        folder: of `*.toml`; there are none if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Preset] = {}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(path.stem for path in self.folder.glob("*.toml")))

    def __getitem__(self, name: str) -> Preset:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = read(self.folder / f"{name}.toml")
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<presets {', '.join(self) or 'none'} in '{self.folder}'>"


class PresetsBeside:
    """As an attribute of a class: the presets in the folder named like the module of the class.

    A subclass in another module has those of its base if it brings none of its own.
    """

    def __get__(self, instance: object, owner: type) -> Mapping[str, Preset]:
        return _presets_of(owner)


@cache
def _presets_of(owner: type) -> Mapping[str, Preset]:
    for cls in owner.__mro__:
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        if file is not None and (folder := Path(file).with_suffix("")).is_dir():
            return PresetFiles(folder)
    return {}


def read(path: Path) -> Preset:
    """The preset that a device file holds.

    Raises:
        ConfigError: the file holds something else.
    """
    content = _toml.read(path, "preset file")
    try:
        device, provenance = content["device"], content["provenance"]
        values = {key: _value(value) for key, value in device.items() if key != "name"}
        return Preset(
            parameters=values,
            source=provenance["source"],
            validity=provenance.get("validity", ""),
        )
    except (TypeError, AttributeError, ConfigError) as error:
        raise ConfigError(f"preset file '{path}' cannot be read: {error}") from None
    except KeyError as error:
        raise ConfigError(
            f"preset file '{path}' has no {error.args[0]!r}; expected tables [device] with the "
            "parameters and [provenance] with source = the paper or file of the numbers"
        ) from None


def _value(value: Any) -> Any:
    """Lists as tuples and `{normal = {...}}` as the distribution."""
    if isinstance(value, list):
        return tuple(map(_value, value))
    if isinstance(value, Mapping):
        ((kind, arguments),) = value.items() if len(value) == 1 else ((str(dict(value)), {}),)
        if kind not in DISTRIBUTIONS:
            raise ConfigError(f"there is no distribution {kind!r}{hint(kind, DISTRIBUTIONS)}")
        return DISTRIBUTIONS[kind](**arguments)
    return value
